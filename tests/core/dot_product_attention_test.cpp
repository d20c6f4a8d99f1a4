#include "core/nn/dot_product_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <limits>

#include "core/error.h"

namespace tessera {
namespace {

struct Case {
  int64_t clips, heads, queries, keys, dim;
  enum class Mask { none, keys, pairs } mask = Mask::none;
  int threads = 1;
  at::ScalarType type = at::kDouble;
};

constexpr double kDrop = 0.3;

at::Tensor mask_of(const Case& c) {
  if (c.mask == Case::Mask::none) return {};
  const bool pairs = c.mask == Case::Mask::pairs;
  at::Tensor blocked = at::rand({c.clips, 1, pairs ? c.queries : 1, c.keys}) < 0.3;
  if (pairs) blocked.select(2, c.queries - 1).fill_(true);  // may look nowhere
  return blocked;
}

at::Tensor softmax_of(const at::Tensor& query, const at::Tensor& key, const at::Tensor& blocked) {
  at::Tensor scores =
      query.matmul(key.transpose(2, 3)) / std::sqrt(static_cast<double>(query.size(3)));
  if (!blocked.defined()) return scores.softmax(-1);
  scores = scores.masked_fill(blocked, -std::numeric_limits<double>::infinity());
  return scores.softmax(-1).masked_fill(blocked.all(-1, /*keepdim=*/true), 0);
}

/// Which weights the next call drops, as factors [N,M,L,S]: it gives them where the values are unit
/// vectors and all weights alike.
at::Tensor factors_of(const Case& c) {
  const auto options = at::TensorOptions(c.type);
  const at::Tensor flat = at::zeros({c.clips, c.heads, c.keys, c.keys}, options);
  const at::Tensor unit = at::eye(c.keys, options).expand_as(flat);
  const at::Tensor query = at::zeros({c.clips, c.heads, c.queries, c.keys}, options);
  return dot_product_attention(query, flat, unit, {}, kDrop) * c.keys;
}

class DroppedAttention : public testing::TestWithParam<Case> {};

TEST_P(DroppedAttention, EqualsTheFormulaWithItsGradients) {
  const Case& c = GetParam();
  const int before = at::get_num_threads();
  at::set_num_threads(c.threads);
  at::manual_seed(3);
  const auto options = at::TensorOptions(c.type);
  // Views of other orders, as heads are.
  const at::Tensor q = at::randn({c.clips, c.queries, c.heads, c.dim}, options),
                   k = at::randn({c.clips, c.keys, c.heads, c.dim}, options),
                   v = at::randn({c.clips, c.keys, c.heads, c.dim}, options),
                   upstream = at::randn({c.clips, c.queries, c.heads, c.dim}, options);
  const at::Tensor blocked = mask_of(c);
  at::manual_seed(11);
  const at::Tensor factors = factors_of(c);
  const at::Tensor dropped = (factors == 0).to(at::kFloat).mean();
  if (factors.numel() > 2000) {
    EXPECT_NEAR(dropped.item<float>(), kDrop, 0.03);
  }
  EXPECT_TRUE(
      at::allclose(factors, at::where(factors == 0, 0.0, 1 / (1 - kDrop)).to(c.type), 1e-4));

  const auto run = [&](bool ours) {
    const at::Tensor leaves[] = {q.clone().requires_grad_(), k.clone().requires_grad_(),
                                 v.clone().requires_grad_()};
    const at::Tensor query = leaves[0].transpose(1, 2), key = leaves[1].transpose(1, 2),
                     value = leaves[2].transpose(1, 2);
    at::Tensor y;
    if (ours) {
      at::manual_seed(11);
      y = dot_product_attention(query, key, value, blocked, kDrop);
    } else {
      y = (softmax_of(query, key, blocked) * factors).matmul(value);
    }
    (y * upstream.transpose(1, 2)).sum().backward();
    return std::vector<at::Tensor>{y.detach(), leaves[0].grad(), leaves[1].grad(),
                                   leaves[2].grad()};
  };
  const auto found = run(true), expected = run(false);
  const double tolerance = c.type == at::kDouble ? 1e-10 : 1e-4;
  const char* names[] = {"output", "query", "key", "value"};
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i].sizes(), expected[i].sizes());
    EXPECT_TRUE(at::allclose(found[i], expected[i], tolerance, tolerance)) << names[i];
  }
  at::set_num_threads(before);
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, DroppedAttention,
    testing::Values(Case{1, 1, 1, 1, 1}, Case{2, 3, 7, 5, 4}, Case{1, 2, 120, 90, 48},
                    Case{2, 2, 9, 33, 16, Case::Mask::keys},
                    Case{2, 2, 9, 33, 17, Case::Mask::pairs, 2},
                    Case{1, 1, 250, 17, 8, Case::Mask::pairs, 3},  // a head's queries are shared
                    Case{1, 2, 25, 1300, 6, Case::Mask::keys, 2},  // keys in several blocks
                    Case{1, 3, 130, 70, 32, Case::Mask::none, 3, at::kFloat},
                    Case{2, 1, 50, 100, 20, Case::Mask::pairs, 2, at::kFloat}));

TEST(DotProductAttention, IsLibTorchsWithoutDropout) {
  const at::Tensor q = at::randn({2, 3, 7, 4}), k = at::randn({2, 3, 5, 4}),
                   v = at::randn({2, 3, 5, 4});
  const at::Tensor blocked = at::rand({2, 1, 7, 5}) < 0.3;
  EXPECT_TRUE(at::allclose(dot_product_attention(q, k, v, blocked, 0),
                           softmax_of(q, k, blocked).matmul(v), 1e-4, 1e-5));
}

TEST(DotProductAttention, ComputesHalfTypesInFloat) {
  const at::Tensor q = at::randn({1, 2, 7, 4}).to(at::kBFloat16);
  at::manual_seed(3);
  const at::Tensor found = dot_product_attention(q, q, q, {}, kDrop);
  at::manual_seed(3);
  const at::Tensor full = q.to(at::kFloat);
  EXPECT_EQ(found.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(
      at::equal(found, dot_product_attention(full, full, full, {}, kDrop).to(at::kBFloat16)));
}

TEST(DotProductAttention, HasNoQueriesOrKeys) {
  const at::Tensor some = at::randn({1, 2, 7, 4}), none = at::randn({1, 2, 0, 4});
  EXPECT_EQ(dot_product_attention(none, some, some, {}, kDrop).numel(), 0);
  const at::Tensor q = some.clone().requires_grad_();
  const at::Tensor y = dot_product_attention(q, none, none, {}, kDrop);
  EXPECT_TRUE(at::equal(y, at::zeros_like(some)));
  y.sum().backward();
  EXPECT_TRUE(at::equal(q.grad(), at::zeros_like(some)));
}

TEST(DotProductAttention, RefusesWhatDoesNotFit) {
  const at::Tensor q = at::randn({2, 3, 7, 4}), k = at::randn({2, 3, 5, 4});
  const auto blocked = [](std::vector<int64_t> sizes) { return at::zeros(sizes, at::kBool); };
  for (const double drop : {0.0, kDrop}) {
    EXPECT_THROW(dot_product_attention(q, k, q, {}, drop), ShapeError);
    EXPECT_THROW(dot_product_attention(q, k.narrow(3, 0, 3), k, {}, drop), ShapeError);
    EXPECT_THROW(dot_product_attention(q, k.narrow(1, 0, 1), k, {}, drop), ShapeError);
    EXPECT_THROW(dot_product_attention(q, k, k, blocked({2, 1, 5, 5}), drop), ShapeError);
    EXPECT_THROW(dot_product_attention(q, k, k, blocked({2, 1, 1, 7}), drop), ShapeError);
    EXPECT_THROW(dot_product_attention(q, k, k, blocked({1, 1, 7, 5}), drop), ShapeError);
    EXPECT_NO_THROW(dot_product_attention(q, k, k, blocked({2, 1, 7, 5}), drop));
    EXPECT_NO_THROW(dot_product_attention(q, k, k, blocked({2, 1, 1, 5}), drop));
  }
  EXPECT_THROW(dot_product_attention(q, k, k, {}, 1.5), ConfigError);
}

TEST(DotProductAttention, RefusesASecondDerivative) {
  const at::Tensor q = at::randn({1, 1, 3, 4}).requires_grad_();
  const at::Tensor y = dot_product_attention(q, q, q, {}, kDrop);
  EXPECT_THROW(torch::autograd::grad({y.square().sum()}, {q}, {}, true, /*create_graph=*/true),
               RuntimeError);
}

}  // namespace
}  // namespace tessera
