#include "core/structures/predictions.h"

#include <ATen/ATen.h>

namespace tessera {

at::Tensor ClassLogits::probabilities() const {
  if (activation == ClassActivation::sigmoid) return logits.sigmoid();
  return logits.softmax(-1).narrow(-1, 0, num_classes());
}

MaskSource::~MaskSource() = default;

at::Tensor MaskSource::logits_at(int64_t clip, const at::Tensor& rows,
                                 const at::Tensor& points) const {
  const at::Tensor maps = logits(clip, rows);                         // [R,T,h,w]
  const at::Tensor grid = points.flatten(0, 1).unsqueeze(1) * 2 - 1;  // [R*T,1,P,2]
  const at::Tensor sampled =
      at::grid_sampler(maps.flatten(0, 1).unsqueeze(1), grid, /*bilinear*/ 0, /*zeros*/ 0,
                       /*align_corners=*/false);  // [R*T,1,1,P]
  return sampled.reshape({maps.size(0), maps.size(1), points.size(2)});
}

}  // namespace tessera
