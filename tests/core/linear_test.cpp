#include "core/nn/linear.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace tessera {
namespace {

/// [2,rows,6] -> [2,rows,5] through Tessera's and through LibTorch's layer, with gradients.
void expect_as_torch(int64_t rows, at::ScalarType type, bool with_bias, AfterLinear after) {
  at::manual_seed(3);
  const auto options = at::TensorOptions(type);
  // Not contiguous: tokens come as views of other orders.
  const at::Tensor base = at::randn({rows, 2, 6}, options);
  const at::Tensor weight = at::randn({5, 6}, options);
  const at::Tensor bias = with_bias ? at::randn({5}, options) : at::Tensor();
  const at::Tensor upstream = at::randn({2, rows, 5}, options);
  const auto run = [&](bool ours) {
    std::vector<at::Tensor> leaves{base.clone().requires_grad_(), weight.clone().requires_grad_()};
    if (with_bias) leaves.push_back(bias.clone().requires_grad_());
    const at::Tensor x = leaves[0].transpose(0, 1), b = with_bias ? leaves[2] : at::Tensor();
    at::Tensor y;
    if (ours)
      y = linear(x, leaves[1], b, after);
    else if (after == AfterLinear::relu)
      y = at::linear(x, leaves[1], b).relu();
    else
      y = at::linear(x, leaves[1], b);
    (y * upstream).sum().backward();
    std::vector<at::Tensor> all{y.detach()};
    for (const at::Tensor& leaf : leaves) all.push_back(leaf.grad());
    return all;
  };
  const std::vector<at::Tensor> found = run(true), expected = run(false);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(found[i].sizes(), expected[i].sizes());
    EXPECT_TRUE(at::allclose(found[i], expected[i], 1e-4, 1e-5)) << "rows " << rows << ", " << i;
  }
}

TEST(Linear, EqualsTorchWithFewRowsAndMany) {
  for (const int64_t rows : {1, 31, 32, 200})  // 2 * 32 rows are the first that are convolved
    for (const bool with_bias : {true, false})
      for (const AfterLinear after : {AfterLinear::nothing, AfterLinear::relu}) {
        expect_as_torch(rows, at::kFloat, with_bias, after);
        expect_as_torch(rows, at::kDouble, with_bias, after);
      }
}

TEST(Linear, KeepsItsInputWhereReluOverwrites) {
  for (const int64_t rows : {2, 100}) {
    const at::Tensor x = at::randn({rows, 4}), before = x.clone();
    linear(x, at::randn({3, 4}), {}, AfterLinear::relu);
    EXPECT_TRUE(x.equal(before)) << "rows " << rows;
  }
}

}  // namespace
}  // namespace tessera
