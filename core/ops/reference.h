#pragma once
// The operators of this folder written plainly with tensor arithmetic, whose gradients autograd
// derives. Slow and hungry for memory; the tests hold the kernels against them.

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>
#include <vector>

#include "core/export.h"
#include "core/ops/deform_conv2d.h"

namespace tessera::reference {

/// As tessera::st_deform_attn, on any device and without its checks.
TESSERA_API at::Tensor st_deform_attn(const at::Tensor& value, std::array<int64_t, 3> shape_thw,
                                      const at::Tensor& sampling_locations,
                                      const at::Tensor& attention_weights);

/// As tessera::ms_deform_attn, on any device and without its checks.
TESSERA_API at::Tensor ms_deform_attn(const at::Tensor& value,
                                      const std::vector<std::array<int64_t, 2>>& shapes_hw,
                                      const at::Tensor& sampling_locations,
                                      const at::Tensor& attention_weights);

/// As tessera::deform_conv2d, on any device and without its checks.
TESSERA_API at::Tensor deform_conv2d(const at::Tensor& input, const at::Tensor& offset,
                                     const std::optional<at::Tensor>& mask,
                                     const at::Tensor& weight,
                                     const std::optional<at::Tensor>& bias,
                                     const DeformConvOptions& options = {});

}  // namespace tessera::reference
