// deform_conv2d for any device: sampling (tessera::deform_columns, the part that a device
// implements) followed by a matrix product, image by image, so that only one image's columns exist
// at a time. Columns hold the channels innermost, which is what makes the sampling fast. The CPU
// has a way of its own, see deform_conv2d_cpu.cpp.

#include "core/ops/deform_conv2d.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "core/ops/deform_conv2d_sizes.h"

namespace tessera {
namespace {

using ops::conv_sizes;
using ops::ConvSizes;
using ops::OptionalTensor;
using ops::weight_matrix;
using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

at::Tensor call_forward(const at::Tensor& input, const at::Tensor& offset,
                        const OptionalTensor& mask, const at::Tensor& weight,
                        const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                        at::IntArrayRef dilation, int64_t groups, int64_t offset_groups,
                        bool border_gradient) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("tessera::deform_conv2d", "")
                             .typed<decltype(call_forward)>();
  return op.call(input, offset, mask, weight, bias, stride, padding, dilation, groups,
                 offset_groups, border_gradient);
}

Gradients call_backward(const at::Tensor& grad_output, const at::Tensor& input,
                        const at::Tensor& offset, const OptionalTensor& mask,
                        const at::Tensor& weight, const OptionalTensor& bias,
                        at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                        int64_t groups, int64_t offset_groups, bool border_gradient) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("tessera::deform_conv2d_backward", "")
                             .typed<decltype(call_backward)>();
  return op.call(grad_output, input, offset, mask, weight, bias, stride, padding, dilation, groups,
                 offset_groups, border_gradient);
}

at::Tensor call_columns(const at::Tensor& image, const at::Tensor& offset,
                        const OptionalTensor& mask, at::IntArrayRef kernel, at::IntArrayRef stride,
                        at::IntArrayRef padding, at::IntArrayRef dilation, int64_t offset_groups) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("tessera::deform_columns", "")
                             .typed<decltype(call_columns)>();
  return op.call(image, offset, mask, kernel, stride, padding, dilation, offset_groups);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> call_columns_backward(
    const at::Tensor& grad_columns, const at::Tensor& image, const at::Tensor& offset,
    const OptionalTensor& mask, at::IntArrayRef kernel, at::IntArrayRef stride,
    at::IntArrayRef padding, at::IntArrayRef dilation, int64_t offset_groups,
    bool border_gradient) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("tessera::deform_columns_backward", "")
                             .typed<decltype(call_columns_backward)>();
  return op.call(grad_columns, image, offset, mask, kernel, stride, padding, dilation,
                 offset_groups, border_gradient);
}

// [positions, taps, C] -> [groups, positions, taps * C/groups]; a view for one group.
at::Tensor group_columns(const at::Tensor& columns, const ConvSizes& s) {
  return columns.view({s.positions(), s.taps, s.groups, s.group_in()})
      .permute({2, 0, 1, 3})
      .reshape({s.groups, s.positions(), s.taps * s.group_in()});
}

// The inverse of group_columns.
at::Tensor ungroup_columns(const at::Tensor& columns, const ConvSizes& s) {
  return columns.view({s.groups, s.positions(), s.taps, s.group_in()})
      .permute({1, 2, 0, 3})
      .reshape({s.positions(), s.taps, s.in_channels});
}

OptionalTensor select_image(const OptionalTensor& tensor, int64_t n) {
  return ops::is_set(tensor) ? OptionalTensor(tensor->select(0, n)) : std::nullopt;
}

at::Tensor forward_any(const at::Tensor& input, const at::Tensor& offset,
                       const OptionalTensor& mask, const at::Tensor& weight,
                       const OptionalTensor& bias, at::IntArrayRef stride, at::IntArrayRef padding,
                       at::IntArrayRef dilation, int64_t groups, int64_t offset_groups,
                       bool /*border_gradient*/) {
  const ConvSizes s = conv_sizes(input, offset, mask, weight, bias, stride, padding, dilation,
                                 groups, offset_groups);
  const at::Tensor images_NHWC = input.permute({0, 2, 3, 1}).contiguous();
  const at::Tensor matrix = weight_matrix(weight, s);
  at::Tensor output =
      at::empty({s.batch, s.out_channels, s.out_height, s.out_width}, input.options());
  for (int64_t n = 0; n < s.batch; ++n) {
    const at::Tensor columns =
        call_columns(images_NHWC.select(0, n), offset.select(0, n), select_image(mask, n), s.kernel,
                     stride, padding, dilation, offset_groups);
    at::Tensor image_output = output.select(0, n).view({s.groups, s.group_out(), s.positions()});
    at::bmm_out(image_output, matrix, group_columns(columns, s).transpose(1, 2));
  }
  if (ops::is_set(bias)) output.add_(bias->view({1, -1, 1, 1}));
  return output;
}

Gradients backward_any(const at::Tensor& grad_output, const at::Tensor& input,
                       const at::Tensor& offset, const OptionalTensor& mask,
                       const at::Tensor& weight, const OptionalTensor& bias, at::IntArrayRef stride,
                       at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                       int64_t offset_groups, bool border_gradient) {
  const ConvSizes s = conv_sizes(input, offset, mask, weight, bias, stride, padding, dilation,
                                 groups, offset_groups, grad_output);
  const at::Tensor images_NHWC = input.permute({0, 2, 3, 1}).contiguous();
  const at::Tensor matrix = weight_matrix(weight, s);
  at::Tensor grad_images_NHWC = at::empty_like(images_NHWC);
  at::Tensor grad_matrix = at::zeros_like(matrix);
  at::Tensor grad_offset = at::empty(offset.sizes(), offset.options());
  at::Tensor grad_mask =
      ops::is_set(mask) ? at::empty(mask->sizes(), mask->options()) : at::Tensor();
  for (int64_t n = 0; n < s.batch; ++n) {
    const at::Tensor image = images_NHWC.select(0, n);
    const at::Tensor image_offset = offset.select(0, n);
    const OptionalTensor image_mask = select_image(mask, n);
    const at::Tensor image_grad =
        grad_output.select(0, n).reshape({s.groups, s.group_out(), s.positions()});
    {
      // Sampling again costs less than keeping the columns of every image since the forward pass.
      const at::Tensor columns = call_columns(image, image_offset, image_mask, s.kernel, stride,
                                              padding, dilation, offset_groups);
      grad_matrix.baddbmm_(image_grad, group_columns(columns, s));
    }
    const at::Tensor grad_columns = ungroup_columns(at::bmm(image_grad.transpose(1, 2), matrix), s);
    auto [grad_image, grad_image_offset, grad_image_mask] =
        call_columns_backward(grad_columns, image, image_offset, image_mask, s.kernel, stride,
                              padding, dilation, offset_groups, border_gradient);
    grad_images_NHWC.select(0, n).copy_(grad_image);
    grad_offset.select(0, n).copy_(grad_image_offset);
    if (grad_mask.defined()) grad_mask.select(0, n).copy_(grad_image_mask);
  }
  const at::Tensor grad_weight = ops::weight_of_matrix(grad_matrix, weight, s);
  const at::Tensor grad_bias =
      ops::is_set(bias) ? grad_output.sum(at::IntArrayRef{0, 2, 3}) : at::Tensor();
  return {grad_images_NHWC.permute({0, 3, 1, 2}).contiguous(input.suggest_memory_format()),
          grad_offset, grad_mask, grad_weight, grad_bias};
}

class DeformConv2d : public torch::autograd::Function<DeformConv2d> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& offset, const OptionalTensor& mask,
                            const at::Tensor& weight, const OptionalTensor& bias,
                            at::IntArrayRef stride, at::IntArrayRef padding,
                            at::IntArrayRef dilation, int64_t groups, int64_t offset_groups,
                            bool border_gradient) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward(
        {input, offset, mask.value_or(at::Tensor()), weight, bias.value_or(at::Tensor())});
    context->saved_data["stride"] = stride.vec();
    context->saved_data["padding"] = padding.vec();
    context->saved_data["dilation"] = dilation.vec();
    context->saved_data["groups"] = groups;
    context->saved_data["offset_groups"] = offset_groups;
    context->saved_data["border_gradient"] = border_gradient;
    return call_forward(input, offset, mask, weight, bias, stride, padding, dilation, groups,
                        offset_groups, border_gradient);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grad_outputs) {
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    auto [grad_input, grad_offset, grad_mask, grad_weight, grad_bias] = call_backward(
        grad_outputs[0], saved[0], saved[1], saved[2], saved[3], saved[4],
        data["stride"].toIntVector(), data["padding"].toIntVector(), data["dilation"].toIntVector(),
        data["groups"].toInt(), data["offset_groups"].toInt(), data["border_gradient"].toBool());
    const at::Tensor none;
    return {grad_input, grad_offset, grad_mask, grad_weight, grad_bias, none,
            none,       none,        none,      none,        none};
  }
};

at::Tensor forward_autograd(const at::Tensor& input, const at::Tensor& offset,
                            const OptionalTensor& mask, const at::Tensor& weight,
                            const OptionalTensor& bias, at::IntArrayRef stride,
                            at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                            int64_t offset_groups, bool border_gradient) {
  return DeformConv2d::apply(input, offset, mask, weight, bias, stride, padding, dilation, groups,
                             offset_groups, border_gradient);
}

at::Tensor forward_autocast(const at::Tensor& input, const at::Tensor& offset,
                            const OptionalTensor& mask, const at::Tensor& weight,
                            const OptionalTensor& bias, at::IntArrayRef stride,
                            at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                            int64_t offset_groups, bool border_gradient) {
  NoAutocast no_autocast;
  return call_forward(ops::to_full_precision(input), ops::to_full_precision(offset),
                      ops::to_full_precision(mask), ops::to_full_precision(weight),
                      ops::to_full_precision(bias), stride, padding, dilation, groups,
                      offset_groups, border_gradient);
}

}  // namespace

at::Tensor deform_conv2d(const at::Tensor& input, const at::Tensor& offset,
                         const std::optional<at::Tensor>& mask, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, const DeformConvOptions& options) {
  return call_forward(input, offset, mask, weight, bias, options.stride, options.padding,
                      options.dilation, options.groups, options.offset_groups,
                      options.border_gradient);
}

}  // namespace tessera

TORCH_LIBRARY_IMPL(tessera, CompositeExplicitAutograd, m) {
  m.impl("deform_conv2d", TORCH_FN(tessera::forward_any));
  m.impl("deform_conv2d_backward", TORCH_FN(tessera::backward_any));
}

TORCH_LIBRARY_IMPL(tessera, Autograd, m) {
  m.impl("deform_conv2d", TORCH_FN(tessera::forward_autograd));
  m.impl("deform_conv2d_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(tessera, AutocastCPU, m) {
  m.impl("deform_conv2d", TORCH_FN(tessera::forward_autocast));
}

TORCH_LIBRARY_IMPL(tessera, AutocastCUDA, m) {
  m.impl("deform_conv2d", TORCH_FN(tessera::forward_autocast));
}
