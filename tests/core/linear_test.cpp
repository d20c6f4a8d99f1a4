#include "core/nn/linear.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tessera {
namespace {

struct Sizes {
  int64_t rows, in, out;
};

/// [2,rows,in] -> [2,rows,out] through Tessera's and through LibTorch's layer, with gradients.
void expect_as_torch(const Sizes& sizes, at::ScalarType type, bool with_bias, AfterLinear after) {
  const auto [rows, in, out] = sizes;
  at::manual_seed(3);
  const auto options = at::TensorOptions(type);
  // Not contiguous: tokens come as views of other orders.
  const at::Tensor base = at::randn({rows, 2, in}, options);
  const at::Tensor weight = at::randn({out, in}, options) / std::sqrt(in);
  const at::Tensor bias = with_bias ? at::randn({out}, options) : at::Tensor();
  const at::Tensor upstream = at::randn({2, rows, out}, options);
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
    const double scale = expected[i].abs().max().item<double>();
    EXPECT_TRUE(at::allclose(found[i], expected[i], 0, 1e-5 * scale)) << rows << " rows, " << i;
  }
}

TEST(Linear, EqualsTorchInSmallAndLargeProducts) {
  // 2 * 256 * 1024 * 16 = 2^23 products are the first that are convolved. Few outputs: rounding
  // must not carry one over the ReLU's kink.
  for (const Sizes& sizes : {Sizes{1, 6, 5}, Sizes{200, 6, 5}, Sizes{255, 1024, 16},
                             Sizes{256, 1024, 16}, Sizes{300, 1000, 20}})
    for (const bool with_bias : {true, false})
      for (const AfterLinear after : {AfterLinear::nothing, AfterLinear::relu}) {
        expect_as_torch(sizes, at::kFloat, with_bias, after);
        expect_as_torch(sizes, at::kDouble, with_bias, after);
      }
}

TEST(Linear, KeepsItsInputWhereReluOverwrites) {
  for (const int64_t rows : {2, 2000}) {
    const at::Tensor x = at::randn({rows, 64}), before = x.clone();
    linear(x, at::randn({128, 64}), {}, AfterLinear::relu);
    EXPECT_TRUE(x.equal(before)) << "rows " << rows;
  }
}

}  // namespace
}  // namespace tessera
