#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>

#include "core/export.h"

namespace tessera {

/// Geometry of a deformable convolution; pairs are (vertical, horizontal), in pixels.
struct DeformConvOptions {
  std::array<int64_t, 2> stride = {1, 1};
  std::array<int64_t, 2> padding = {0, 0};
  std::array<int64_t, 2> dilation = {1, 1};
  /// Groups of channels that are convolved apart, as in an ordinary convolution.
  int64_t groups = 1;
  /// Groups of input channels that have offsets (and masks) of their own.
  int64_t offset_groups = 1;
  /// A tap at coordinate -1 exactly, where freshly initialised zero offsets put the taps of the
  /// padding, samples zero, but its value has a slope on the inner side. False: the offset's
  /// gradient is zero there, as in the CUDA operator of VisTR and its relatives. True: it is that
  /// one-sided slope, as in torchvision. Every other tap is the same either way.
  bool border_gradient = false;
};

/// Deformable convolution, v1 without a mask and v2 with one (Dai et al. 2017, Zhu et al. 2019).
/// Tap i of an output position samples at y*stride - padding + tap_y*dilation + dy, and the same
/// for x, bilinearly; at or beyond -1 and the size, or where not finite, it is zero.
/// in:  input [N, C, H, W] float32 or float64
///      offset [N, 2*G*kh*kw, Ho, Wo], per offset group and tap (row major): dy, then dx
///      mask [N, G*kh*kw, Ho, Wo], multiplies the samples; or none
///      weight [Co, C/groups, kh, kw]; bias [Co] or none
/// out: [N, Co, Ho, Wo]; float32 under autocast. Differentiable once.
/// Throws ShapeError, and RuntimeError for another type or for mixed devices.
TESSERA_API at::Tensor deform_conv2d(const at::Tensor& input, const at::Tensor& offset,
                                     const std::optional<at::Tensor>& mask,
                                     const at::Tensor& weight,
                                     const std::optional<at::Tensor>& bias,
                                     const DeformConvOptions& options = {});

}  // namespace tessera
