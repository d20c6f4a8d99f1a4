// The CUDA implementations of the operators: checks and memory from ATen, work from the .cu files.
// Loading this library registers them; autograd and autocast are in the core already.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <algorithm>
#include <string>
#include <tuple>

#include "core/error.h"
#include "core/ops/cuda/kernels.h"
#include "core/ops/op_support.h"

namespace tessera::cuda {
namespace {

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

void expect_launched(cudaError_t error, const char* op) {
  if (error == cudaSuccess) return;
  throw RuntimeError(std::string(op) + ": expected the CUDA kernel to start, got " +
                     cudaGetErrorString(error) + ".");
}

Levels kernel_levels(const std::vector<kernels::Level>& levels) {
  if (levels.size() > kMaxLevels) {
    throw ShapeError("ms_deform_attn shapes_hw: expected at most " + std::to_string(kMaxLevels) +
                     " levels on CUDA, got " + std::to_string(levels.size()) + ".");
  }
  Levels result{};
  std::copy(levels.begin(), levels.end(), result.level);
  return result;
}

template <typename T>
const T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

// One launcher for both attentions: only the pyramid's takes levels.
template <typename T, typename... Arguments>
cudaError_t launch_forward(const ops::DeformAttnShape<kernels::StDeformAttnSizes>& shape,
                           Arguments... arguments) {
  return st_deform_attn_forward<T>(shape.sizes, arguments...);
}
template <typename T, typename... Arguments>
cudaError_t launch_forward(const ops::DeformAttnShape<kernels::MsDeformAttnSizes>& shape,
                           Arguments... arguments) {
  return ms_deform_attn_forward<T>(shape.sizes, kernel_levels(shape.levels), arguments...);
}
template <typename T, typename... Arguments>
cudaError_t launch_backward(const ops::DeformAttnShape<kernels::StDeformAttnSizes>& shape,
                            Arguments... arguments) {
  return st_deform_attn_backward<T>(shape.sizes, arguments...);
}
template <typename T, typename... Arguments>
cudaError_t launch_backward(const ops::DeformAttnShape<kernels::MsDeformAttnSizes>& shape,
                            Arguments... arguments) {
  return ms_deform_attn_backward<T>(shape.sizes, kernel_levels(shape.levels), arguments...);
}

struct StAttention {
  static constexpr const char* kName = "st_deform_attn";
  static constexpr auto shape = ops::st_deform_attn_shape;
};

struct MsAttention {
  static constexpr const char* kName = "ms_deform_attn";
  static constexpr auto shape = ops::ms_deform_attn_shape;
};

template <typename Attention>
at::Tensor attention_forward(const at::Tensor& value, at::IntArrayRef grid,
                             const at::Tensor& sampling_locations,
                             const at::Tensor& attention_weights) {
  const auto shape = Attention::shape(value, grid, sampling_locations, attention_weights, {});
  const auto& sizes = shape.sizes;
  const c10::cuda::CUDAGuard device(value.device());
  const at::Tensor dense_value = ops::to_full_precision(value).contiguous();
  const at::Tensor locations = sampling_locations.contiguous();
  const at::Tensor weights = attention_weights.contiguous();
  at::Tensor output =
      at::empty({sizes.batch, sizes.queries, sizes.heads * sizes.dim}, dense_value.options());
  ops::with_float_type(dense_value, [&](auto zero) {
    using T = decltype(zero);
    expect_launched(
        launch_forward<T>(shape, dense_value.const_data_ptr<T>(), locations.const_data_ptr<T>(),
                          weights.const_data_ptr<T>(), output.mutable_data_ptr<T>(),
                          c10::cuda::getCurrentCUDAStream().stream()),
        Attention::kName);
  });
  return output.to(value.scalar_type());
}

template <typename Attention>
Gradients attention_backward(const at::Tensor& grad_output, const at::Tensor& value,
                             at::IntArrayRef grid, const at::Tensor& sampling_locations,
                             const at::Tensor& attention_weights) {
  const auto shape =
      Attention::shape(value, grid, sampling_locations, attention_weights, grad_output);
  const c10::cuda::CUDAGuard device(value.device());
  const at::Tensor dense_grad = ops::to_full_precision(grad_output).contiguous();
  const at::Tensor dense_value = ops::to_full_precision(value).contiguous();
  const at::Tensor locations = sampling_locations.contiguous();
  const at::Tensor weights = attention_weights.contiguous();
  at::Tensor grad_value = at::zeros_like(dense_value);
  at::Tensor grad_locations = at::empty_like(locations);
  at::Tensor grad_weights = at::empty_like(weights);
  ops::with_float_type(dense_value, [&](auto zero) {
    using T = decltype(zero);
    expect_launched(
        launch_backward<T>(shape, dense_grad.const_data_ptr<T>(), dense_value.const_data_ptr<T>(),
                           locations.const_data_ptr<T>(), weights.const_data_ptr<T>(),
                           grad_value.mutable_data_ptr<T>(), grad_locations.mutable_data_ptr<T>(),
                           grad_weights.mutable_data_ptr<T>(),
                           c10::cuda::getCurrentCUDAStream().stream()),
        Attention::kName);
  });
  return {grad_value.to(value.scalar_type()), grad_locations, grad_weights};
}

at::Tensor deform_columns_cuda(const at::Tensor& image, const at::Tensor& offset,
                               const std::optional<at::Tensor>& mask, at::IntArrayRef kernel,
                               at::IntArrayRef stride, at::IntArrayRef padding,
                               at::IntArrayRef dilation, int64_t offset_groups) {
  const auto sizes = ops::deform_columns_sizes(image, offset, mask, kernel, stride, padding,
                                               dilation, offset_groups);
  const c10::cuda::CUDAGuard device(image.device());
  const at::Tensor dense_image = image.contiguous();
  const at::Tensor dense_offset = offset.contiguous();
  const at::Tensor dense_mask = ops::is_set(mask) ? mask->contiguous() : at::Tensor();
  at::Tensor columns = at::empty({sizes.output_height * sizes.output_width,
                                  sizes.kernel_height * sizes.kernel_width, sizes.channels},
                                 image.options());
  ops::with_float_type(image, [&](auto zero) {
    using T = decltype(zero);
    expect_launched(
        deform_columns_forward<T>(sizes, dense_image.const_data_ptr<T>(),
                                  dense_offset.const_data_ptr<T>(), data_or_null<T>(dense_mask),
                                  columns.mutable_data_ptr<T>(), c10::cuda::getCurrentCUDAStream()),
        "deform_columns");
  });
  return columns;
}

Gradients deform_columns_backward_cuda(const at::Tensor& grad_columns, const at::Tensor& image,
                                       const at::Tensor& offset,
                                       const std::optional<at::Tensor>& mask,
                                       at::IntArrayRef kernel, at::IntArrayRef stride,
                                       at::IntArrayRef padding, at::IntArrayRef dilation,
                                       int64_t offset_groups, bool border_gradient) {
  const auto sizes = ops::deform_columns_sizes(image, offset, mask, kernel, stride, padding,
                                               dilation, offset_groups, grad_columns);
  const auto border =
      border_gradient ? kernels::Border::kOneSidedGradient : kernels::Border::kNoGradient;
  const c10::cuda::CUDAGuard device(image.device());
  const at::Tensor dense_grad = grad_columns.contiguous();
  const at::Tensor dense_image = image.contiguous();
  const at::Tensor dense_offset = offset.contiguous();
  const at::Tensor dense_mask = ops::is_set(mask) ? mask->contiguous() : at::Tensor();
  at::Tensor grad_image = at::zeros_like(dense_image);
  at::Tensor grad_offset = at::empty_like(dense_offset);
  at::Tensor grad_mask = dense_mask.defined() ? at::empty_like(dense_mask) : at::Tensor();
  ops::with_float_type(image, [&](auto zero) {
    using T = decltype(zero);
    expect_launched(
        deform_columns_backward<T>(
            sizes, border, dense_grad.const_data_ptr<T>(), dense_image.const_data_ptr<T>(),
            dense_offset.const_data_ptr<T>(), data_or_null<T>(dense_mask),
            grad_image.mutable_data_ptr<T>(), grad_offset.mutable_data_ptr<T>(),
            grad_mask.defined() ? grad_mask.mutable_data_ptr<T>() : nullptr,
            c10::cuda::getCurrentCUDAStream()),
        "deform_columns_backward");
  });
  return {grad_image, grad_offset, grad_mask};
}

}  // namespace

TORCH_LIBRARY_IMPL(tessera, CUDA, m) {
  m.impl("st_deform_attn", TORCH_FN(attention_forward<StAttention>));
  m.impl("st_deform_attn_backward", TORCH_FN(attention_backward<StAttention>));
  m.impl("ms_deform_attn", TORCH_FN(attention_forward<MsAttention>));
  m.impl("ms_deform_attn_backward", TORCH_FN(attention_backward<MsAttention>));
  m.impl("deform_columns", TORCH_FN(deform_columns_cuda));
  m.impl("deform_columns_backward", TORCH_FN(deform_columns_backward_cuda));
}

}  // namespace tessera::cuda
