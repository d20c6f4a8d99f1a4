#include "launcher/parity/compare.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/structures/shape.h"

namespace tessera::parity {

namespace {

/// Without leading axes of size 1 that `like` has not, or with those that only `like` has.
at::Tensor with_axes_of(at::Tensor x, const at::Tensor& like) {
  while (x.dim() > like.dim() && x.size(0) == 1) x = x.squeeze(0);
  while (x.dim() < like.dim() && like.size(like.dim() - x.dim() - 1) == 1) x = x.unsqueeze(0);
  return x;
}

}  // namespace

Comparison compare(const std::string& name, const at::Tensor& computed, const at::Tensor& expected,
                   const ToleranceRules& rules) {
  Comparison result;
  result.name = name;
  const at::Tensor ours = with_axes_of(computed, expected);
  if (ours.sizes() != expected.sizes()) {
    result.problem =
        "expected shape " + shape_text(expected.sizes()) + ", got " + shape_text(ours.sizes());
    return result;
  }
  const at::Tensor a = ours.detach().to(at::kCPU, at::kDouble), b = expected.to(at::kDouble);
  if (rules.masks && a.numel() > 0)
    result.difference = (a != b).to(at::kDouble).mean().item<double>();
  else
    result.difference = a.numel() == 0 ? 0.0 : (a - b).abs().max().item<double>();
  if (rules.masks)
    result.tolerance = 1e-4;
  else if (rules.pixels > 0)
    result.tolerance = 1e-4 * static_cast<double>(rules.pixels);
  else if (!expected.is_floating_point())
    result.tolerance = 0.0;
  else if (rules.rounding)
    result.tolerance = 4.0 * *rules.rounding;
  else
    result.tolerance = rules.share_of_scale *
                       rules.scale.value_or(b.numel() == 0 ? 0.0 : b.abs().max().item<double>());
  if (b.numel() > 0) result.scale = b.abs().max().item<double>();
  result.passed = result.difference <= result.tolerance;  // false for NaN
  if (std::isnan(result.difference)) result.problem = "got a value that is not a number";
  return result;
}

}  // namespace tessera::parity
