#include "core/nn/recompute.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera {
namespace {

struct Counted {
  int64_t runs = 0;
  at::Tensor weight = at::full({3}, 2.0).set_requires_grad(true);
  at::Tensor operator()(const at::Tensor& x) {
    ++runs;
    return at::dropout((x * weight).exp(), 0.5, /*train=*/true);
  }
};

TEST(Recompute, RunsAgainInBackwardWithTheSameRandomNumbers) {
  const at::Tensor x = at::rand({4, 3}).set_requires_grad(true);
  Counted plain, again;
  at::manual_seed(3);
  const at::Tensor expected = plain(x);
  expected.square().sum().backward();
  const at::Tensor gradient = x.grad().clone();
  x.mutable_grad().reset();

  at::manual_seed(3);
  const at::Tensor found =
      recompute([&](const at::Tensor& y) { return again(y); }, x, {again.weight});
  EXPECT_EQ(again.runs, 1);
  const at::Tensor next = at::rand({1});  // what the program draws is not disturbed
  found.square().sum().backward();
  EXPECT_EQ(again.runs, 2);
  EXPECT_TRUE(at::equal(found, expected));
  EXPECT_TRUE(at::allclose(x.grad(), gradient));
  EXPECT_TRUE(at::allclose(again.weight.grad(), plain.weight.grad()));
  const at::Tensor after = at::rand({1});
  at::manual_seed(3);
  plain(x.detach());
  EXPECT_TRUE(at::equal(at::rand({1}), next));
  EXPECT_TRUE(at::equal(at::rand({1}), after));
}

TEST(Recompute, TrainsParametersBehindAnInputThatTakesNoGradient) {
  Counted work;
  const at::Tensor out =
      recompute([&](const at::Tensor& y) { return work(y); }, at::ones({2, 3}), {work.weight});
  out.sum().backward();
  EXPECT_TRUE(work.weight.grad().defined());
}

/// A segment of several tensors with running statistics.
struct Statistics : torch::nn::Module {
  at::Tensor weight = register_parameter("weight", at::full({3}, 2.0));
  at::Tensor mean = register_buffer("mean", at::zeros({3}));
  struct Output {
    at::Tensor scaled, shifted, index;
    int64_t run = 0;
  };
  int64_t runs = 0;
  Output forward(const at::Tensor& x, const at::Tensor& shift) {
    {
      const at::NoGradGuard no_grad;
      mean.mul_(0.9).add_(x.detach().mean(0), 0.1);
    }
    return {(x * weight).tanh(), x + shift.tanh(), at::arange(3), ++runs};
  }
};

TEST(Recompute, TakesAndGivesSeveralTensorsAndLeavesBuffersAlone) {
  const at::Tensor x = at::rand({4, 3}), shift = at::rand({3}).set_requires_grad(true);
  Statistics plain, again;
  const auto expected = plain.forward(x, shift);
  (expected.scaled.square().sum() + expected.shifted.exp().sum()).backward();
  const at::Tensor gradient = shift.grad().clone();
  shift.mutable_grad().reset();

  const auto found = recompute<Statistics::Output>(
      again, {x, shift},
      [&](const std::vector<at::Tensor>& given) { return again.forward(given[0], given[1]); },
      [](Statistics::Output& output) {
        return std::vector<at::Tensor*>{&output.scaled, &output.shifted, &output.index};
      });
  EXPECT_EQ(found.run, 1);
  EXPECT_TRUE(found.index.equal(expected.index));
  (found.scaled.square().sum() + found.shifted.exp().sum()).backward();
  EXPECT_EQ(again.runs, 2);
  EXPECT_TRUE(shift.grad().equal(gradient));
  EXPECT_TRUE(again.weight.grad().equal(plain.weight.grad()));
  EXPECT_TRUE(again.mean.equal(plain.mean));
}

TEST(Recompute, LeavesAnOutputThatNobodyUsesWithoutGradients) {
  Statistics module;
  const auto outputs = recompute(
      [&](const std::vector<at::Tensor>& given) {
        const auto output = module.forward(given[0], given[1]);
        return std::vector<at::Tensor>{output.scaled, output.shifted};
      },
      {at::rand({4, 3}), at::rand({3})}, module.parameters(), module.buffers());
  outputs.at(0).sum().backward();
  EXPECT_TRUE(module.weight.grad().defined());
}

TEST(Recompute, RunsAgainUnderTheSameAutocast) {
  std::vector<at::ScalarType> types;
  const at::Tensor weight = at::rand({3, 3}).set_requires_grad(true);
  const auto work = [&](const at::Tensor& y) {
    const at::Tensor product = at::matmul(y, weight);
    types.push_back(product.scalar_type());
    return product;
  };
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const at::Tensor out = recompute(work, at::rand({2, 3}), {weight});
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  out.sum().backward();
  EXPECT_THAT(types, testing::ElementsAre(at::kBFloat16, at::kBFloat16));
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  EXPECT_TRUE(weight.grad().defined());
}

TEST(Recompute, JustRunsWhereNoGradientIsWanted) {
  Counted work;
  const at::NoGradGuard no_grad;
  recompute([&](const at::Tensor& y) { return work(y); }, at::ones({2, 3}), {work.weight});
  EXPECT_EQ(work.runs, 1);
}

}  // namespace
}  // namespace tessera
