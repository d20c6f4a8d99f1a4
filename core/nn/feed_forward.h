#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <string>

#include "core/export.h"

namespace tessera {

/// Xavier-uniform weights and zero bias, DETR's start for transformer layers.
TESSERA_API void xavier_reset(torch::nn::Linear& linear);

/// The first half of a feed-forward network: x [...,in] -> [...,out], activation "relu" or "gelu",
/// then dropout with probability `drop`, 0 where the model does not train. Throws ConfigError for
/// another name.
TESSERA_API at::Tensor activated_linear(const torch::nn::Linear& layer, const at::Tensor& x,
                                        const std::string& activation, double drop = 0.0);

}  // namespace tessera
