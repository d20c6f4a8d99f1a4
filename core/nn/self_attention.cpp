#include "core/nn/self_attention.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "core/nn/dot_product_attention.h"
#include "core/nn/feed_forward.h"

namespace tessera {

SelfAttention::SelfAttention(int64_t dim, int64_t num_heads, bool qkv_bias, double dropout)
    : num_heads_(num_heads),
      dropout_(dropout),
      qkv_(torch::nn::LinearOptions(dim, 3 * dim).bias(qkv_bias)),
      proj_(dim, dim) {
  if (dim % num_heads != 0)
    throw ConfigError("num_heads: expected a divisor of the width " + std::to_string(dim) +
                      ", got " + std::to_string(num_heads) + ".");
  xavier_reset(qkv_);
  xavier_reset(proj_);
  register_module("qkv", qkv_);
  register_module("proj", proj_);
}

at::Tensor SelfAttention::forward(const at::Tensor& x, const at::Tensor& blocked) {
  const int64_t tokens = x.size(1), dim = x.size(2);
  const at::Tensor parts = qkv_->forward(x)
                               .view({-1, tokens, 3, num_heads_, dim / num_heads_})
                               .permute({2, 0, 3, 1, 4});  // [3,N,M,L,D/M]
  const at::Tensor read = dot_product_attention(
      parts[0], parts[1], parts[2], blocked.defined() ? blocked.unsqueeze(1).unsqueeze(1) : blocked,
      is_training() ? dropout_ : 0.0);
  return proj_->forward(read.transpose(1, 2).flatten(2));
}

}  // namespace tessera
