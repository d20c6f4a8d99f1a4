// The schemas of Tessera's operators. Implementations register themselves: the CPU ones and the
// autograd formulas beside each operator, the CUDA ones in ops/cuda. Sizes are plain integers, not
// tensors, so that no operator has to wait for a device to learn them.

#include <torch/library.h>

TORCH_LIBRARY(tessera, m) {
  m.def(
      "st_deform_attn(Tensor value, int[] shape_thw, Tensor sampling_locations, "
      "Tensor attention_weights) -> Tensor");
  m.def(
      "st_deform_attn_backward(Tensor grad_output, Tensor value, int[] shape_thw, "
      "Tensor sampling_locations, Tensor attention_weights) -> (Tensor, Tensor, Tensor)");
  // shapes_hw is flat: h0, w0, h1, w1, ...
  m.def(
      "ms_deform_attn(Tensor value, int[] shapes_hw, Tensor sampling_locations, "
      "Tensor attention_weights) -> Tensor");
  m.def(
      "ms_deform_attn_backward(Tensor grad_output, Tensor value, int[] shapes_hw, "
      "Tensor sampling_locations, Tensor attention_weights) -> (Tensor, Tensor, Tensor)");
  m.def(
      "deform_conv2d(Tensor input, Tensor offset, Tensor? mask, Tensor weight, Tensor? bias, "
      "int[] stride, int[] padding, int[] dilation, int groups, int offset_groups, "
      "bool border_gradient) -> Tensor");
  // Gradients of input, offset, mask, weight, bias; undefined for an absent mask or bias.
  m.def(
      "deform_conv2d_backward(Tensor grad_output, Tensor input, Tensor offset, Tensor? mask, "
      "Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, int groups, "
      "int offset_groups, bool border_gradient) -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  // What a device has to implement for deform_conv2d; one image, channels last.
  m.def(
      "deform_columns(Tensor image, Tensor offset, Tensor? mask, int[] kernel, int[] stride, "
      "int[] padding, int[] dilation, int offset_groups) -> Tensor");
  m.def(
      "deform_columns_backward(Tensor grad_columns, Tensor image, Tensor offset, Tensor? mask, "
      "int[] kernel, int[] stride, int[] padding, int[] dilation, int offset_groups, "
      "bool border_gradient) -> (Tensor, Tensor, Tensor)");
}
