#include "core/nn/recompute.h"

#include <ATen/ATen.h>
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

TEST(Recompute, JustRunsWhereNoGradientIsWanted) {
  Counted work;
  const at::NoGradGuard no_grad;
  recompute([&](const at::Tensor& y) { return work(y); }, at::ones({2, 3}), {work.weight});
  EXPECT_EQ(work.runs, 1);
}

}  // namespace
}  // namespace tessera
