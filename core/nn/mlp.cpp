#include "core/nn/mlp.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/linear.h>

#include "core/nn/linear.h"

namespace tessera {

Mlp::Mlp(int64_t input_dim, int64_t hidden_dim, int64_t output_dim, int64_t num_layers) {
  for (int64_t i = 0; i < num_layers; ++i)
    layers_->push_back(torch::nn::Linear(i == 0 ? input_dim : hidden_dim,
                                         i == num_layers - 1 ? output_dim : hidden_dim));
  register_module("layers", layers_);
}

at::Tensor Mlp::forward(at::Tensor x) {
  for (size_t i = 0; i < layers_->size(); ++i) {
    const auto layer = layers_->ptr<torch::nn::LinearImpl>(i);
    x = linear(x, layer->weight, layer->bias,
               i + 1 < layers_->size() ? AfterLinear::relu : AfterLinear::nothing);
  }
  return x;
}

}  // namespace tessera
