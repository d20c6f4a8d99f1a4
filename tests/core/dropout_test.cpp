#include "core/nn/dropout.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "core/error.h"
#include "core/nn/feed_forward.h"
#include "core/nn/linear.h"

namespace tessera {
namespace {

struct Threads {
  explicit Threads(int count) : before(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before); }
  int before;
};

TEST(Dropout, ZeroesSomeAndScalesTheOthers) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({300, 400});
  const at::Tensor y = with_dropout(x, 0.25, true);
  const at::Tensor kept = y != 0;
  EXPECT_NEAR(kept.to(at::kFloat).mean().item<float>(), 0.75, 0.01);
  EXPECT_TRUE(at::allclose(y, at::where(kept, x / 0.75, 0.0)));
  EXPECT_FALSE(at::equal(with_dropout(x, 0.25, true), y)) << "every call has a seed of its own";
}

TEST(Dropout, LeavesWhatItNeedNotTouch) {
  const at::Tensor x = at::randn({3, 4});
  EXPECT_TRUE(with_dropout(x, 0.5, false).is_same(x));
  EXPECT_TRUE(with_dropout(x, 0.0, true).is_same(x));
  EXPECT_TRUE(at::equal(with_dropout(x, 1.0, true), at::zeros_like(x)));
  EXPECT_EQ(with_dropout(at::empty({0, 4}), 0.5, true).sizes(), (std::vector<int64_t>{0, 4}));
  EXPECT_TRUE(at::equal(with_relu_dropout(x, 0.5, false), x.relu()));
  EXPECT_THROW(with_dropout(x, 1.5, true), ConfigError);
  EXPECT_THROW(with_relu_dropout(x, std::numeric_limits<double>::quiet_NaN(), true), ConfigError);
}

TEST(Dropout, DependsOnTheSeedAndNotOnThreads) {
  const at::Tensor x = at::randn({200, 1000});
  const auto run = [&](int threads) {
    const Threads set(threads);
    at::manual_seed(7);
    return with_dropout(x, 0.5, true);
  };
  const at::Tensor one = run(1);
  EXPECT_TRUE(at::equal(run(2), one));
  EXPECT_TRUE(at::equal(run(3), one));
}

TEST(Dropout, WorksInEveryTypeAndOnViews) {
  const at::Tensor base = at::randn({70, 50}, at::kDouble);
  for (const auto type : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    const at::Tensor x = base.to(type).t();
    at::manual_seed(7);
    const at::Tensor y = with_dropout(x, 0.5, true);  // a factor of 2 is exact
    at::manual_seed(7);
    const at::Tensor factors = with_dropout(at::ones({50, 70}), 0.5, true);
    EXPECT_EQ(y.scalar_type(), type);
    EXPECT_TRUE(at::equal(y, x * factors.to(type))) << type;
  }
}

TEST(Dropout, GradientsPassWhereNumbersDid) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({40, 30}, at::kDouble).requires_grad_();
  const at::Tensor upstream = at::randn({30, 40}, at::kDouble).t();
  const at::Tensor y = with_dropout(x, 0.3, true);
  const at::Tensor factors = (y / x).detach();
  (y * upstream).sum().backward();
  EXPECT_TRUE(at::allclose(x.grad(), factors * upstream, 1e-12, 1e-12));
}

TEST(Dropout, CanBeDifferentiatedTwice) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({40}, at::kDouble).requires_grad_();
  const at::Tensor y = with_dropout(x, 0.3, true);
  const at::Tensor factors = (y / x).detach();
  const at::Tensor gradient =
      torch::autograd::grad({y.pow(3).sum()}, {x}, {}, true, /*create_graph=*/true).at(0);
  gradient.sum().backward();  // d2(f^3 x^3)/dx2
  EXPECT_TRUE(at::allclose(x.grad(), factors.pow(3) * x * 6));
}

TEST(ReluDropout, IsBothInOne) {
  const at::Tensor base = at::randn({40, 30}), upstream = at::randn({40, 30});
  const auto run = [&](bool in_one) {
    at::manual_seed(9);
    const at::Tensor x = base.clone().requires_grad_();
    const at::Tensor y =
        in_one ? with_relu_dropout(x, 0.3, true) : with_dropout(x.relu(), 0.3, true);
    (y * upstream).sum().backward();
    return std::pair(y.detach(), x.grad());
  };
  const auto [found, gradient] = run(true);
  const auto [expected, expected_gradient] = run(false);
  EXPECT_TRUE(at::equal(found, expected));
  EXPECT_TRUE(at::allclose(gradient, expected_gradient));
  const at::Tensor nan = at::full({20}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(with_relu_dropout(nan, 0.3, true).isnan().all().item<bool>());
}

TEST(ActivatedLinear, DropsAfterTheActivation) {
  const torch::nn::Linear layer(6, 50);
  const at::Tensor x = at::randn({80, 6});
  for (const char* activation : {"relu", "gelu"}) {
    at::manual_seed(9);
    const at::Tensor found = activated_linear(layer, x, activation, 0.5);
    at::manual_seed(9);
    const at::Tensor expected = with_dropout(activated_linear(layer, x, activation), 0.5, true);
    EXPECT_TRUE(at::allclose(found, expected)) << activation;
  }
}

}  // namespace
}  // namespace tessera
