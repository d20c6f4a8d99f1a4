#include "core/structures/predictions.h"

#include <ATen/ATen.h>

#include "core/nn/points.h"

namespace tessera {

at::Tensor ClassLogits::probabilities() const {
  if (activation == ClassActivation::sigmoid) return logits.sigmoid();
  return logits.softmax(-1).narrow(-1, 0, num_classes());
}

MaskSource::~MaskSource() = default;

at::Tensor MaskSource::logits_at(int64_t clip, const at::Tensor& rows,
                                 const at::Tensor& points) const {
  const at::Tensor maps = logits(clip, rows);  // [R,T,h,w]
  return sample_at(maps.flatten(0, 1).unsqueeze(1), points.flatten(0, 1))
      .view({maps.size(0), maps.size(1), points.size(2)});
}

at::Tensor MaskSource::resized(int64_t clip, const at::Tensor& rows, int64_t height,
                               int64_t width) const {
  return at::upsample_bilinear2d(logits(clip, rows), {height, width}, /*align_corners=*/false);
}

}  // namespace tessera
