#include "core/nn/position_encoding.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/nn/precision.h"

namespace tessera {
namespace {

// Counts cells along `axis` and scales the count to 0..2pi over the unpadded length.
at::Tensor normalised_count(const at::Tensor& counted, int64_t axis,
                            const PositionOptions& options) {
  const at::Tensor cells = counted.cumsum(axis), count = cells + (options.first - 1.0);
  const at::Tensor& divided = options.divisor == "cells" ? cells : count;
  const at::Tensor last = divided.narrow(axis, divided.size(axis) - 1, 1);
  return count / (last + 1e-6) * (2 * M_PI);
}

// [..] -> [.., dim]: sin at even, cos at odd channels of the same wavelength.
at::Tensor sine_channels(const at::Tensor& count, int64_t dim, double temperature) {
  const at::Tensor index = at::arange(dim, count.options());
  const at::Tensor wavelength = at::pow(at::scalar_tensor(temperature, count.options()),
                                        2 * at::floor(index / 2) / static_cast<double>(dim));
  const at::Tensor angle = count.unsqueeze(-1) / wavelength;
  const at::Tensor even = at::sin(angle.slice(-1, 0, dim, 2));
  const at::Tensor odd = at::cos(angle.slice(-1, 1, dim, 2));
  return at::stack({even, odd}, -1).flatten(-2);
}

}  // namespace

at::Tensor position_encoding(const at::Tensor& padding_mask, int64_t dim,
                             const PositionOptions& options, at::ScalarType dtype) {
  if (options.kind == "none") return {};
  const int64_t parts = options.kind == "3d" ? 3 : 2;
  if (dim % (2 * parts) != 0)
    throw ConfigError("position." + options.kind + ": expected a width that " +
                      std::to_string(2 * parts) + " divides, got " + std::to_string(dim) + ".");
  const at::Tensor counted =
      (options.use_padding_mask ? padding_mask.logical_not() : at::ones_like(padding_mask))
          .to(full_precision(dtype));
  auto encode = [&](int64_t axis, int64_t channels) {
    return sine_channels(normalised_count(counted, axis, options), channels, options.temperature);
  };
  const int64_t channels = dim / parts;
  if (options.kind == "3d")
    return at::cat({encode(1, channels), encode(2, channels), encode(3, channels)}, -1);
  const at::Tensor plane = at::cat({encode(2, channels), encode(3, channels)}, -1);
  return options.kind == "2d" ? plane : plane + encode(1, dim);
}

}  // namespace tessera
