#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include "core/export.h"

namespace tessera {

/// Multi-head attention of a sequence's tokens on one another (Vaswani et al. 2017), without
/// residual or norm. Keys: qkv (rows q, k, v, each heads x head width), proj.
class TESSERA_API SelfAttention : public torch::nn::Module {
 public:
  /// Throws ConfigError where the heads do not divide the width. `dropout` is that of the weights.
  SelfAttention(int64_t dim, int64_t num_heads, bool qkv_bias = false, double dropout = 0.0);

  /// in: x [N,L,D]; blocked [N,L] bool, true = no token may attend to it, or undefined.
  /// out: [N,L,D].
  at::Tensor forward(const at::Tensor& x, const at::Tensor& blocked = {});

 private:
  int64_t num_heads_;
  double dropout_;
  torch::nn::Linear qkv_, proj_;
};

}  // namespace tessera
