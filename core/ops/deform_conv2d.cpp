// deform_conv2d is sampling (tessera::deform_columns, the part that each device implements)
// followed by a matrix product, image by image, so that only one image's columns exist at a time.
// Columns hold the channels innermost, which is what makes the sampling fast.

#include "core/ops/deform_conv2d.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>
#include <tuple>

#include "core/error.h"
#include "core/ops/op_support.h"
#include "core/structures/shape.h"

namespace tessera {
namespace {

using OptionalTensor = std::optional<at::Tensor>;
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

struct ConvSizes {
  int64_t batch, in_channels, out_channels, groups, taps, out_height, out_width;
  std::vector<int64_t> kernel;

  int64_t group_in() const { return in_channels / groups; }
  int64_t group_out() const { return out_channels / groups; }
  int64_t positions() const { return out_height * out_width; }
};

// What deform_columns does not check itself, or would check only for a batch that is not empty.
ConvSizes conv_sizes(const at::Tensor& input, const at::Tensor& offset, const OptionalTensor& mask,
                     const at::Tensor& weight, const OptionalTensor& bias, at::IntArrayRef stride,
                     at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                     int64_t offset_groups, const at::Tensor& grad_output = {}) {
  ShapeBinding sizes;
  expect_shape(input, "[N,C,H,W]", "deform_conv2d input", sizes);
  if (groups < 1 || sizes['C'] % groups != 0) {
    throw ShapeError("deform_conv2d groups: expected a divisor of the " +
                     std::to_string(sizes['C']) + " input channels, got " + std::to_string(groups) +
                     ".");
  }
  sizes['G'] = sizes['C'] / groups;
  expect_shape(weight, "[O,G,Y,X]", "deform_conv2d weight", sizes);
  if (sizes['O'] % groups != 0) {
    throw ShapeError("deform_conv2d weight: expected output channels in multiples of " +
                     std::to_string(groups) + " groups, got " + std::to_string(sizes['O']) + ".");
  }
  if (ops::is_set(bias)) expect_shape(*bias, "[O]", "deform_conv2d bias", sizes);
  expect_shape(offset, "[N,*,*,*]", "deform_conv2d offset", sizes);
  if (ops::is_set(mask)) expect_shape(*mask, "[N,*,*,*]", "deform_conv2d mask", sizes);
  const std::vector<int64_t> kernel{sizes['Y'], sizes['X']};
  // The sizes of one image follow from tensors without data, so this holds for N = 0 too.
  const auto one = [](const at::Tensor& tensor) {
    return tensor.new_empty(tensor.sizes().slice(1));
  };
  const auto image =
      ops::deform_columns_sizes(input.new_empty({sizes['H'], sizes['W'], sizes['C']}), one(offset),
                                ops::is_set(mask) ? OptionalTensor(one(*mask)) : std::nullopt,
                                kernel, stride, padding, dilation, offset_groups);
  if (grad_output.defined()) {
    sizes['Y'] = image.output_height;
    sizes['X'] = image.output_width;
    expect_shape(grad_output, "[N,O,Y,X]", "deform_conv2d grad_output", sizes);
  }
  ops::expect_same_kind("deform_conv2d", {input, offset, mask.value_or(at::Tensor()), weight,
                                          bias.value_or(at::Tensor()), grad_output});
  return {sizes['N'],          sizes['C'],         sizes['O'], groups, kernel[0] * kernel[1],
          image.output_height, image.output_width, kernel};
}

// [O, C/groups, kh, kw] -> [groups, O/groups, taps * C/groups], the order of the columns.
at::Tensor weight_matrix(const at::Tensor& weight, const ConvSizes& s) {
  return weight.reshape({s.groups, s.group_out(), s.group_in(), s.taps})
      .transpose(2, 3)
      .reshape({s.groups, s.group_out(), s.taps * s.group_in()});
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
  const at::Tensor grad_weight = grad_matrix.view({s.groups, s.group_out(), s.taps, s.group_in()})
                                     .transpose(2, 3)
                                     .reshape(weight.sizes());
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
  ops::NoAutocast no_autocast;
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
