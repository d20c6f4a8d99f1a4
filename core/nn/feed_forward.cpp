#include "core/nn/feed_forward.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include "core/error.h"

namespace tessera {

void xavier_reset(torch::nn::Linear& linear) {
  torch::nn::init::xavier_uniform_(linear->weight);
  if (linear->bias.defined()) torch::nn::init::zeros_(linear->bias);
}

at::Tensor activate(const at::Tensor& x, const std::string& name) {
  if (name == "relu") return at::relu(x);
  if (name == "gelu") return at::gelu(x);
  throw ConfigError("activation: expected relu or gelu, got '" + name + "'.");
}

}  // namespace tessera
