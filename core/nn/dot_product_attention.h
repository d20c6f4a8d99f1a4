#pragma once

#include <ATen/core/Tensor.h>

#include "core/export.h"

namespace tessera {

/// Attention (Vaswani et al. 2017): dropout(softmax(q k^T / sqrt(D))) v. `query` [N,M,L,D], `key`
/// and `value` [N,M,S,D]; `blocked`, bool, [N,1,L,S] or [N,1,1,S] or undefined, is true where a
/// query must not look -> [N,M,L,D]. A query that may look nowhere gets zeros. `dropout` is the
/// probability with which weights are dropped, 0 where the model does not train.
///
/// at::scaled_dot_product_attention, but for dropout on a CPU: there LibTorch would keep three
/// numbers for each of the L * S pairs; here a thread computes a few queries' weights at a time,
/// and once more for the gradients. That is differentiable once.
///
/// Throws ShapeError, ConfigError for a `dropout` outside 0 to 1, and RuntimeError for a second
/// derivative through dropped weights.
TESSERA_API at::Tensor dot_product_attention(const at::Tensor& query, const at::Tensor& key,
                                             const at::Tensor& value, const at::Tensor& blocked,
                                             double dropout);

}  // namespace tessera
