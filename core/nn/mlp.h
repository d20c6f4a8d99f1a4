#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>

#include "core/export.h"

namespace tessera {

/// Linear layers with ReLU between them; keys `layers.<i>.weight`, as DETR's MLP.
class TESSERA_API Mlp : public torch::nn::Module {
 public:
  Mlp(int64_t input_dim, int64_t hidden_dim, int64_t output_dim, int64_t num_layers);
  /// in: [..,input_dim], out: [..,output_dim].
  at::Tensor forward(at::Tensor x);

 private:
  torch::nn::ModuleList layers_;
};

}  // namespace tessera
