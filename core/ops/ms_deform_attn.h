#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "core/export.h"

namespace tessera {

/// Multi-scale deformable attention: samples several feature levels at points, and adds up the
/// samples (MSDeformAttn of Deformable DETR). With the frames of a clip as the levels it attends
/// over time, as DefVIS does.
/// Sampling is bilinear and zero outside; pixel = location * size - 0.5, so 0..1 spans the outer
/// edges of each level. A location outside or not finite counts as zero and has no gradient. At a
/// pixel centre the location's gradient is that of the interval which starts there.
/// in:  value [N, S, M, D] float32 or float64, levels in order, each row major, S = sum of h*w
///      shapes_hw (h, w) of each of the L levels
///      sampling_locations [N, Q, M, L, P, 2] as (x, y), normalised
///      attention_weights [N, Q, M, L, P], used as they are
/// out: [N, Q, M*D] of value's type, summed in float32 or float64. Autocast casts value alone.
/// Differentiable once.
/// Throws ShapeError, and RuntimeError for another type or for mixed devices.
TESSERA_API at::Tensor ms_deform_attn(const at::Tensor& value,
                                      const std::vector<std::array<int64_t, 2>>& shapes_hw,
                                      const at::Tensor& sampling_locations,
                                      const at::Tensor& attention_weights);

}  // namespace tessera
