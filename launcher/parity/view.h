#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace tessera::parity {

/// Applies steps from our layout to the stored one, each a name with integers:
///   "flatten a b", "unflatten d n..", "permute d..", "transpose a b", "select d i",
///   "narrow d i n", "slice d [begin end]" (without them all; an end may be negative), "unsqueeze
///   d", "squeeze d", "mean d..", "sum", "abs", "double", "affine a b" (a x + b).
/// Throws ConfigError for an unknown step.
at::Tensor apply_view(at::Tensor tensor, const std::vector<std::string>& steps);

}  // namespace tessera::parity
