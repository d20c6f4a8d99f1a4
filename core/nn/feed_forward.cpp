#include "core/nn/feed_forward.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include "core/error.h"
#include "core/nn/dropout.h"
#include "core/nn/linear.h"

namespace tessera {

void xavier_reset(torch::nn::Linear& linear) {
  torch::nn::init::xavier_uniform_(linear->weight);
  if (linear->bias.defined()) torch::nn::init::zeros_(linear->bias);
}

at::Tensor activated_linear(const torch::nn::Linear& layer, const at::Tensor& x,
                            const std::string& activation, double drop) {
  if (activation == "relu")
    return drop > 0 ? with_relu_dropout(linear(layer, x), drop, true)
                    : linear(layer, x, AfterLinear::relu);
  if (activation == "gelu") return with_dropout(at::gelu(linear(layer, x)), drop, true);
  throw ConfigError("activation: expected relu or gelu, got '" + activation + "'.");
}

}  // namespace tessera
