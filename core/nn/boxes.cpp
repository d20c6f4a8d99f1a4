#include "core/nn/boxes.h"

#include <ATen/ATen.h>

namespace tessera {

at::Tensor cxcywh_to_xyxy(const at::Tensor& boxes) {
  const at::Tensor centre = boxes.narrow(-1, 0, 2), half = boxes.narrow(-1, 2, 2) / 2;
  return at::cat({centre - half, centre + half}, -1);
}

BoxOverlap box_overlap(const at::Tensor& a, const at::Tensor& b, double epsilon) {
  auto low = [](const at::Tensor& x) { return x.narrow(-1, 0, 2); };
  auto high = [](const at::Tensor& x) { return x.narrow(-1, 2, 2); };
  auto area = [](const at::Tensor& size) { return size.select(-1, 0) * size.select(-1, 1); };
  const at::Tensor inter =
      area((at::minimum(high(a), high(b)) - at::maximum(low(a), low(b))).clamp_min(0));
  const at::Tensor united = area(high(a) - low(a)) + area(high(b) - low(b)) - inter;
  const at::Tensor hull =
      area((at::maximum(high(a), high(b)) - at::minimum(low(a), low(b))).clamp_min(0));
  const at::Tensor iou = (inter + epsilon) / (united + epsilon);
  return {iou, iou - (hull - united + epsilon) / (hull + epsilon)};
}

at::Tensor inverse_sigmoid(const at::Tensor& x, double epsilon) {
  return at::logit(x, epsilon);
}

}  // namespace tessera
