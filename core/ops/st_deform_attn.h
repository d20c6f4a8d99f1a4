#pragma once

#include <ATen/core/Tensor.h>

#include <array>

#include "core/export.h"

namespace tessera {

/// Spatio-temporal deformable attention: samples a volume at points in time and space, and adds
/// up the samples (STDeformAttn of Deformable VisTR).
/// Sampling is trilinear and zero outside; pixel = location * size - 0.5 on each axis, so 0..1
/// spans the outer edges. A location outside or not finite counts as zero and has no gradient. At
/// a pixel centre the location's gradient is that of the interval which starts there.
/// in:  value [N, T*H*W, M, D] float32, float64, or half or bfloat16 beside float32
///        locations and weights; row = (t*H + y)*W + x
///      shape_thw (T, H, W)
///      sampling_locations [N, Q, M, K, 3] as (x, y, t), normalised
///      attention_weights [N, Q, M, K], used as they are
/// out: [N, Q, M*D] of value's type, summed in float32 or float64. Autocast casts value alone.
/// Differentiable once.
/// Throws ShapeError, and RuntimeError for another type or for mixed devices.
TESSERA_API at::Tensor st_deform_attn(const at::Tensor& value, std::array<int64_t, 3> shape_thw,
                                      const at::Tensor& sampling_locations,
                                      const at::Tensor& attention_weights);

}  // namespace tessera
