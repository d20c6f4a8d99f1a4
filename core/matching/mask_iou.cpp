#include "core/matching/mask_iou.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/structures/shape.h"

namespace tessera {

at::Tensor overlap_mask_iou(const at::Tensor& before, const at::Tensor& next, int64_t overlap) {
  ShapeBinding sizes;
  expect_shape(before, "[P,*,h,w]", "masks of the window before", sizes);
  expect_shape(next, "[Q,*,h,w]", "masks of the next window", sizes);
  if (overlap < 1 || overlap > std::min(before.size(1), next.size(1)))
    throw ShapeError("masks of neighbouring windows: expected an overlap of 1 to " +
                     std::to_string(std::min(before.size(1), next.size(1))) + " frames, got " +
                     std::to_string(overlap) + ".");
  const at::Tensor a =
      (before.slice(1, before.size(1) - overlap) > 0).flatten(1).to(at::kFloat);   // [P,O*h*w]
  const at::Tensor b = (next.slice(1, 0, overlap) > 0).flatten(1).to(at::kFloat);  // [Q,O*h*w]
  const at::Tensor inter = a.matmul(b.t());                                        // pixels
  const at::Tensor united = a.sum(1).unsqueeze(1) + b.sum(1).unsqueeze(0) - inter;
  return inter / united.clamp_min(1.0);
}

}  // namespace tessera
