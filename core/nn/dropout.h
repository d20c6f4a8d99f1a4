#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/export.h"

namespace tessera {

/// A new seed from the CPU's default generator, which at::manual_seed sets.
TESSERA_API uint64_t draw_seed();

/// Throws ConfigError unless `p` is from 0 to 1.
TESSERA_API void expect_probability(double p);

/// Dropout (Srivastava et al. 2014): x [...] with each number zero with probability `p` and the
/// others divided by 1 - p; x itself where p is 0 or `is_training` is false. On a CPU the random
/// numbers are a function of one seed, drawn from the default generator, and of the place: threads
/// share the work, the result does not depend on their number, and the backward pass draws them
/// again instead of keeping a mask. There p is rounded to a multiple of 2^-16. Elsewhere:
/// at::dropout. Throws ConfigError for a `p` outside 0 to 1.
TESSERA_API at::Tensor with_dropout(const at::Tensor& x, double p, bool is_training);

/// with_dropout(relu(x)) that keeps its output alone for the backward pass.
TESSERA_API at::Tensor with_relu_dropout(const at::Tensor& x, double p, bool is_training);

}  // namespace tessera
