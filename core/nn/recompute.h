#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "core/export.h"

namespace tessera {

/// Activation checkpointing (Chen et al. 2016): runs `work(input)` without keeping what it computes
/// on the way; the backward pass runs it a second time, with the random numbers and the autocast
/// settings of the first, and gives the same gradients. `parameters` are those that `work` uses;
/// they are inputs of the node, so that whoever waits for their gradients (a reducer) sees them.
/// Where no gradient is wanted, `work` just runs. Differentiable once.
/// in: any tensor. out: what `work` gives.
TESSERA_API at::Tensor recompute(const std::function<at::Tensor(const at::Tensor&)>& work,
                                 const at::Tensor& input,
                                 const std::vector<at::Tensor>& parameters);

}  // namespace tessera
