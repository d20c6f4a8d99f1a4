#pragma once
// The formulations that Tessera's operators replace, in ATen calls as researchers write them.

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

namespace tessera::bench {

/// Spatio-temporal deformable attention by a 5-D grid_sample; arguments as tessera::st_deform_attn.
at::Tensor st_deform_attn_by_grid_sample(const at::Tensor& value, std::array<int64_t, 3> shape_thw,
                                         const at::Tensor& sampling_locations,
                                         const at::Tensor& attention_weights);

/// Dense attention over the same tokens: query, key, value [N, S, M, D] -> [N, S, M*D].
at::Tensor dense_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value);

/// Multi-scale deformable attention as Deformable DETR's pure PyTorch path formulates it: one
/// grid_sample for each level, samples stacked; arguments as tessera::ms_deform_attn.
at::Tensor ms_deform_attn_by_grid_sample(const at::Tensor& value,
                                         const std::vector<std::array<int64_t, 2>>& shapes_hw,
                                         const at::Tensor& sampling_locations,
                                         const at::Tensor& attention_weights);

/// Deformable convolution v1 (stride 1, one offset group, padding k/2) by columns of grid_sample
/// and a matrix product; arguments as tessera::deform_conv2d.
at::Tensor deform_conv2d_by_columns(const at::Tensor& input, const at::Tensor& offset,
                                    const at::Tensor& weight, const at::Tensor& bias);

}  // namespace tessera::bench
