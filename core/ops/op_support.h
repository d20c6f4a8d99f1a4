#pragma once
// What the implementations of the operators share: checks, which also yield the sizes that the
// kernels take, the choice between float and double, and the casts of autocast. Not for plugins.

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "core/export.h"
#include "core/nn/precision.h"
#include "core/ops/kernels/sizes.h"

namespace tessera::ops {

/// Throws RuntimeError unless all defined tensors are float32, or all are float64, on one device.
TESSERA_API void expect_same_kind(std::string_view op, const std::vector<at::Tensor>& tensors);

/// The sizes of a deformable attention, and its levels where it has any.
template <typename Sizes>
struct DeformAttnShape {
  Sizes sizes;
  std::vector<kernels::Level> levels;
};

/// Checks the inputs of st_deform_attn (shape_thw: frames, height, width), and grad_output where it
/// is defined. Throws ShapeError or RuntimeError.
TESSERA_API DeformAttnShape<kernels::StDeformAttnSizes> st_deform_attn_shape(
    const at::Tensor& value, at::IntArrayRef shape_thw, const at::Tensor& sampling_locations,
    const at::Tensor& attention_weights, const at::Tensor& grad_output);

/// Checks the inputs of ms_deform_attn (shapes_hw flat: h0, w0, h1, w1, ...), and grad_output where
/// it is defined. Throws ShapeError or RuntimeError.
TESSERA_API DeformAttnShape<kernels::MsDeformAttnSizes> ms_deform_attn_shape(
    const at::Tensor& value, at::IntArrayRef shapes_hw, const at::Tensor& sampling_locations,
    const at::Tensor& attention_weights, const at::Tensor& grad_output);

/// Checks the inputs of deform_columns: image [H,W,C], offset [2*G*taps,Ho,Wo], mask
/// [G*taps,Ho,Wo], and grad_columns [Ho*Wo,taps,C] where it is defined. The output size follows
/// from the geometry. Throws ShapeError or RuntimeError.
TESSERA_API kernels::DeformColumnsSizes deform_columns_sizes(
    const at::Tensor& image, const at::Tensor& offset, const std::optional<at::Tensor>& mask,
    at::IntArrayRef kernel, at::IntArrayRef stride, at::IntArrayRef padding,
    at::IntArrayRef dilation, int64_t offset_groups, const at::Tensor& grad_columns = {});

/// Cells of a convolution's output along one axis; below 1 where the kernel does not fit.
constexpr int64_t conv_output_size(int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                                   int64_t dilation) {
  const int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

/// Calls `body` with a float or a double, whichever `tensor` holds.
template <typename Body>
void with_float_type(const at::Tensor& tensor, Body&& body) {
  if (tensor.scalar_type() == at::kDouble) {
    body(double{});
  } else {
    body(float{});
  }
}

/// Does at::parallel_for use threads in this build? Its body is in a header, and turns into a plain
/// loop, without a word, where that is compiled without -fopenmp.
TESSERA_API bool parallel_for_is_parallel();

/// Tasks that at::parallel_for should give a thread at least, when one costs `work` operations.
inline int64_t grain_size(int64_t work) {
  constexpr int64_t kWorthAThread = 32768;
  return std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, work));
}

inline bool is_set(const std::optional<at::Tensor>& tensor) {
  return tensor.has_value() && tensor->defined();
}

using tessera::to_full_precision;  // the operators compute in float32

inline std::optional<at::Tensor> to_full_precision(const std::optional<at::Tensor>& tensor) {
  return is_set(tensor) ? std::optional(to_full_precision(*tensor)) : std::nullopt;
}

}  // namespace tessera::ops
