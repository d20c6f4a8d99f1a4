#pragma once
// What the implementations of deform_conv2d share. Not for plugins.

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "core/ops/op_support.h"

namespace tessera::ops {

using OptionalTensor = std::optional<at::Tensor>;

struct ConvSizes {
  int64_t batch, in_channels, out_channels, groups, taps, out_height, out_width;
  std::vector<int64_t> kernel;

  int64_t group_in() const { return in_channels / groups; }
  int64_t group_out() const { return out_channels / groups; }
  int64_t positions() const { return out_height * out_width; }
};

/// Checks the inputs of deform_conv2d, and grad_output where it is defined; also those of an empty
/// batch. Throws ShapeError or RuntimeError.
ConvSizes conv_sizes(const at::Tensor& input, const at::Tensor& offset, const OptionalTensor& mask,
                     const at::Tensor& weight, const OptionalTensor& bias, at::IntArrayRef stride,
                     at::IntArrayRef padding, at::IntArrayRef dilation, int64_t groups,
                     int64_t offset_groups, const at::Tensor& grad_output = {});

/// [O, C/groups, kh, kw] -> [groups, O/groups, taps * C/groups], the order of the columns.
at::Tensor weight_matrix(const at::Tensor& weight, const ConvSizes& s);

/// The inverse of weight_matrix, as large as `weight`.
at::Tensor weight_of_matrix(const at::Tensor& matrix, const at::Tensor& weight, const ConvSizes& s);

}  // namespace tessera::ops
