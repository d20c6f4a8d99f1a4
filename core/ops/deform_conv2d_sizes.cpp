#include "core/ops/deform_conv2d_sizes.h"

#include <string>

#include "core/error.h"
#include "core/structures/shape.h"

namespace tessera::ops {

ConvSizes conv_sizes(const at::Tensor& input, const at::Tensor& offset, const OptionalTensor& mask,
                     const at::Tensor& weight, const OptionalTensor& bias, at::IntArrayRef stride,
                     at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                     int64_t offset_groups, const at::Tensor& grad_output) {
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
  if (is_set(bias)) expect_shape(*bias, "[O]", "deform_conv2d bias", sizes);
  expect_shape(offset, "[N,*,*,*]", "deform_conv2d offset", sizes);
  if (is_set(mask)) expect_shape(*mask, "[N,*,*,*]", "deform_conv2d mask", sizes);
  const std::vector<int64_t> kernel{sizes['Y'], sizes['X']};
  // The sizes of one image follow from tensors without data, so this holds for N = 0 too.
  const auto one = [](const at::Tensor& tensor) {
    return tensor.new_empty(tensor.sizes().slice(1));
  };
  const auto image =
      deform_columns_sizes(input.new_empty({sizes['H'], sizes['W'], sizes['C']}), one(offset),
                           is_set(mask) ? OptionalTensor(one(*mask)) : std::nullopt, kernel, stride,
                           padding, dilation, offset_groups);
  if (grad_output.defined()) {
    sizes['Y'] = image.output_height;
    sizes['X'] = image.output_width;
    expect_shape(grad_output, "[N,O,Y,X]", "deform_conv2d grad_output", sizes);
  }
  expect_same_kind("deform_conv2d", {input, offset, mask.value_or(at::Tensor()), weight,
                                     bias.value_or(at::Tensor()), grad_output});
  return {sizes['N'],          sizes['C'],         sizes['O'], groups, kernel[0] * kernel[1],
          image.output_height, image.output_width, kernel};
}

at::Tensor weight_matrix(const at::Tensor& weight, const ConvSizes& s) {
  return weight.reshape({s.groups, s.group_out(), s.group_in(), s.taps})
      .transpose(2, 3)
      .reshape({s.groups, s.group_out(), s.taps * s.group_in()});
}

at::Tensor weight_of_matrix(const at::Tensor& matrix, const at::Tensor& weight,
                            const ConvSizes& s) {
  return matrix.view({s.groups, s.group_out(), s.taps, s.group_in()})
      .transpose(2, 3)
      .reshape(weight.sizes());
}

}  // namespace tessera::ops
