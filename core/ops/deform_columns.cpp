// CPU implementations of deform_columns and its gradients, on which deform_conv2d builds.

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include <tuple>

#include "core/ops/kernels/deform_columns.h"
#include "core/ops/op_support.h"

namespace tessera {
namespace {

template <typename T>
const T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

at::Tensor columns_cpu(const at::Tensor& image, const at::Tensor& offset,
                       const std::optional<at::Tensor>& mask, at::IntArrayRef kernel,
                       at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                       int64_t offset_groups) {
  const auto sizes = ops::deform_columns_sizes(image, offset, mask, kernel, stride, padding,
                                               dilation, offset_groups);
  const int64_t positions = kernels::num_column_positions(sizes);
  const int64_t taps = sizes.kernel_height * sizes.kernel_width;
  const at::Tensor dense_image = image.contiguous();
  const at::Tensor dense_offset = offset.contiguous();
  const at::Tensor dense_mask = ops::is_set(mask) ? mask->contiguous() : at::Tensor();
  at::Tensor columns = at::empty({positions, taps, sizes.channels}, dense_image.options());
  ops::with_float_type(image, [&](auto zero) {
    using T = decltype(zero);
    const T* image_data = dense_image.const_data_ptr<T>();
    const T* offset_data = dense_offset.const_data_ptr<T>();
    const T* mask_data = data_or_null<T>(dense_mask);
    T* column_data = columns.mutable_data_ptr<T>();
    at::parallel_for(0, positions, ops::grain_size(4 * taps * sizes.channels),
                     [&](int64_t begin, int64_t end) {
                       kernels::deform_columns_forward(sizes, image_data, offset_data, mask_data,
                                                       column_data, begin, end);
                     });
  });
  return columns;
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> columns_backward_cpu(
    const at::Tensor& grad_columns, const at::Tensor& image, const at::Tensor& offset,
    const std::optional<at::Tensor>& mask, at::IntArrayRef kernel, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, int64_t offset_groups,
    bool border_gradient) {
  const auto sizes = ops::deform_columns_sizes(image, offset, mask, kernel, stride, padding,
                                               dilation, offset_groups, grad_columns);
  const auto border =
      border_gradient ? kernels::Border::kOneSidedGradient : kernels::Border::kNoGradient;
  const int64_t positions = kernels::num_column_positions(sizes);
  const int64_t taps = sizes.kernel_height * sizes.kernel_width;
  const at::Tensor dense_grad = grad_columns.contiguous();
  const at::Tensor dense_image = image.contiguous();
  const at::Tensor dense_offset = offset.contiguous();
  const at::Tensor dense_mask = ops::is_set(mask) ? mask->contiguous() : at::Tensor();
  at::Tensor grad_image = at::zeros_like(dense_image);
  at::Tensor grad_offset = at::empty_like(dense_offset);
  at::Tensor grad_mask = dense_mask.defined() ? at::empty_like(dense_mask) : at::Tensor();
  ops::with_float_type(image, [&](auto zero) {
    using T = decltype(zero);
    const T* grad_data = dense_grad.const_data_ptr<T>();
    const T* image_data = dense_image.const_data_ptr<T>();
    const T* offset_data = dense_offset.const_data_ptr<T>();
    const T* mask_data = data_or_null<T>(dense_mask);
    T* grad_image_data = grad_image.mutable_data_ptr<T>();
    T* grad_offset_data = grad_offset.mutable_data_ptr<T>();
    T* grad_mask_data = grad_mask.defined() ? grad_mask.mutable_data_ptr<T>() : nullptr;
    at::parallel_for(
        0, positions, ops::grain_size(4 * taps * sizes.channels), [&](int64_t begin, int64_t end) {
          kernels::deform_columns_backward_offset(sizes, border, grad_data, image_data, offset_data,
                                                  mask_data, grad_offset_data, grad_mask_data,
                                                  begin, end);
        });
    at::parallel_for(0, kernels::num_channel_blocks(sizes),
                     ops::grain_size(4 * positions * taps * kernels::kChannelBlock),
                     [&](int64_t begin, int64_t end) {
                       kernels::deform_columns_backward_image(
                           sizes, grad_data, offset_data, mask_data, grad_image_data, begin, end);
                     });
  });
  return {grad_image, grad_offset, grad_mask};
}

}  // namespace
}  // namespace tessera

TORCH_LIBRARY_IMPL(tessera, CPU, m) {
  m.impl("deform_columns", TORCH_FN(tessera::columns_cpu));
  m.impl("deform_columns_backward", TORCH_FN(tessera::columns_backward_cpu));
}

TORCH_LIBRARY_IMPL(tessera, Autograd, m) {
  m.impl("deform_columns", torch::autograd::autogradNotImplementedFallback());
  m.impl("deform_columns_backward", torch::autograd::autogradNotImplementedFallback());
}
