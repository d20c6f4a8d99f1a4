#include "launcher/training/optimiser.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cmath>
#include <map>
#include <memory>

#include "core/error.h"
#include "launcher/training/optimisers/adabelief_step.h"
#include "tests/support/read_options.h"
#include "tests/training/temporary_folder.h"
#include "tests/training/tiny_model.h"

namespace tessera {
namespace {

using test_support::expect_error;
using test_support::TinyModel;
using Patterns = std::vector<ParameterGroupOptions>;
using Names = std::vector<std::string>;

OptimiserOptions read_optimiser(const std::string& toml) {
  return test_support::read_options<OptimiserOptions>(toml);
}

Optimiser make(const TinyModel& model, const OptimiserOptions& options,
               const Patterns& patterns = {}) {
  return Optimiser(options, make_groups(model.named(), options, patterns));
}

void backward(const TinyModel& model, int64_t step) {
  at::manual_seed(100 + step);
  model.forward(at::randn({5, 3})).square().sum().backward();
}

TEST(ParameterGroups, GiveAParameterToTheFirstPatternThatMatches) {
  const TinyModel model;
  const OptimiserOptions options{.lr = 0.5, .weight_decay = 0.3};
  const auto groups = make_groups(model.named(), options,
                                  {{.pattern = "norm", .weight_decay = 0.0},
                                   {.pattern = "^head", .lr_factor = 0.1},
                                   {.pattern = "nowhere", .optional = true}});
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].names, Names{"head.norm.weight"});
  EXPECT_EQ(groups[0].lr, 0.5);
  EXPECT_EQ(groups[0].weight_decay, 0.0);
  EXPECT_EQ(groups[1].names, Names{"head.second.weight"});
  EXPECT_DOUBLE_EQ(groups[1].lr, 0.05);
  EXPECT_EQ(groups[1].weight_decay, 0.3);
  EXPECT_EQ(groups[2].names, Names{"backbone.first.weight"});
}

TEST(ParameterGroups, NameEveryPatternThatTakesNothing) {
  const TinyModel model;
  freeze_parameters(model.named(), {"first"});
  expect_error<ConfigError>(
      [&] {
        make_groups(
            model.named(), {},
            {{.pattern = "hed"}, {.pattern = "head"}, {.pattern = "norm"}, {.pattern = "first"}});
      },
      {"groups[0]", "'hed', which is found in no name", "groups[2]", "'norm', whose parameters are",
       "groups[3]", "backbone.first.weight"});
}

TEST(ParameterGroups, LeaveFrozenParametersOut) {
  const TinyModel model;
  freeze_parameters(model.named(), {"^backbone", "norm"});
  EXPECT_FALSE(model.first.requires_grad());
  const auto groups = make_groups(model.named(), {}, {});
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].names, Names{"head.second.weight"});
  // "offset" is a buffer: there is no gradient to take away.
  expect_error<ConfigError>(
      [&] {
        freeze_parameters(model.named(), {"offset", "second", "none"});
      },
      {"'offset', 'none'"});
  expect_error<ConfigError>([&] { make(model, {}); }, {"train.frozen"});
}

/// A transformer's blocks, a patch embedding and a head.
std::vector<NamedTensor> blocks() {
  std::vector<NamedTensor> model;
  for (const char* name : {"backbone.patch.weight", "backbone.blocks.0.w", "backbone.blocks.1.w",
                           "backbone.blocks.10.w", "decoder.blocks.11.w", "head.w"})
    model.push_back({name, at::ones({2}).set_requires_grad(true), true});
  return model;
}

TEST(ParameterGroups, LowerTheRateLayerByLayer) {
  const OptimiserOptions options{.lr = 0.5, .weight_decay = 0.3};
  const auto groups = make_groups(
      blocks(), options,
      {{.pattern = R"(blocks\.(\d+)\.)", .layer_decay = 0.5, .num_layers = 12, .schedule = "slow"},
       {.pattern = "^backbone", .lr = 4.0, .layer_decay = 0.5, .num_layers = 12, .layer = 0}});
  ASSERT_EQ(groups.size(), 6u);
  std::map<std::string, double> lr;
  for (const auto& group : groups)
    for (const auto& name : group.names) lr[name] = group.lr;
  EXPECT_DOUBLE_EQ(lr["backbone.blocks.0.w"], 0.5 / 2048);
  EXPECT_DOUBLE_EQ(lr["backbone.blocks.1.w"], 0.5 / 1024);
  EXPECT_DOUBLE_EQ(lr["backbone.blocks.10.w"], 0.25);
  EXPECT_DOUBLE_EQ(lr["decoder.blocks.11.w"], 0.5) << "the number counts, not the part";
  EXPECT_DOUBLE_EQ(lr["backbone.patch.weight"], 4.0 / 2048);
  EXPECT_DOUBLE_EQ(lr["head.w"], 0.5);
  EXPECT_EQ(groups[0].schedule, "slow");
  EXPECT_EQ(groups.back().schedule, "");
}

TEST(ParameterGroups, RefuseALayerThatIsNotThere) {
  expect_error<ConfigError>(
      [&] {
        make_groups(blocks(), {},
                    {{.pattern = R"(blocks\.(\d+)\.)", .layer_decay = 0.5, .num_layers = 11}});
      },
      {"groups[0]", "num_layers = 11", "decoder.blocks.11.w"});
  expect_error<ConfigError>(
      [&] {
        make_groups(blocks(), {},
                    {{.pattern = R"(^backbone\.(\w+)\.)", .layer_decay = 0.5, .num_layers = 11}});
      },
      {"groups[0]", "backbone.patch.weight"});
}

class OptimiserKind : public testing::TestWithParam<std::string> {
 protected:
  OptimiserOptions options() const {
    const std::string common = "lr = 0.05\nweight_decay = 0.1\n";
    if (GetParam() == "sgd_plain")
      return read_optimiser(common + "kind = \"sgd\"\nmomentum = 0.0\n");
    const std::string kind = common + "kind = \"" + GetParam() + "\"\n";
    if (GetParam() == "sgd") return read_optimiser(kind + "momentum = 0.7\n");
    return read_optimiser(kind + "betas = [0.8, 0.95]\neps = 1e-6\n");
  }
  std::unique_ptr<torch::optim::Optimizer> reference(const TinyModel& model) const {
    const std::vector<at::Tensor> parameters{model.first, model.second, model.norm};
    if (GetParam().starts_with("sgd"))
      return std::make_unique<torch::optim::SGD>(parameters,
                                                 torch::optim::SGDOptions(0.05)
                                                     .momentum(GetParam() == "sgd" ? 0.7 : 0.0)
                                                     .weight_decay(0.1));
    const std::tuple<double, double> betas(0.8, 0.95);
    if (GetParam() == "adam")
      return std::make_unique<torch::optim::Adam>(
          parameters, torch::optim::AdamOptions(0.05).betas(betas).eps(1e-6).weight_decay(0.1));
    return std::make_unique<torch::optim::AdamW>(
        parameters, torch::optim::AdamWOptions(0.05).betas(betas).eps(1e-6).weight_decay(0.1));
  }
};

TEST_P(OptimiserKind, StepsAsTorchDoes) {
  const TinyModel ours, theirs;
  Optimiser optimiser = make(ours, options());
  const auto expected = reference(theirs);
  for (int64_t step = 0; step < 5; ++step) {
    optimiser.zero_grad();
    expected->zero_grad();
    backward(ours, step);
    backward(theirs, step);
    optimiser.step(1.0);
    expected->step();
  }
  EXPECT_FALSE(ours.first.equal(TinyModel().first));
  for (size_t i = 0; i < 3; ++i)
    EXPECT_TRUE(ours.named()[i].tensor.allclose(theirs.named()[i].tensor, 1e-5, 1e-6))
        << ours.named()[i].name << ours.named()[i].tensor << theirs.named()[i].tensor;
}

class AnyOptimiser : public OptimiserKind {};

TEST_P(AnyOptimiser, KnowsBeforeItsFirstStepHowLargeItsStateGets) {
  const TinyModel model;
  Optimiser optimiser = make(model, options());
  const int64_t expected = optimiser.state_bytes();
  backward(model, 0);
  optimiser.step(1.0);
  int64_t bytes = 0;
  for (const auto& [name, tensor] : optimiser.state())
    if (tensor.dim() > 0) bytes += static_cast<int64_t>(tensor.nbytes());  // steps are one number
  EXPECT_EQ(expected, bytes);
}

TEST_P(AnyOptimiser, GoesOnBitForBitFromItsState) {
  const TinyModel ours;
  Optimiser optimiser = make(ours, options());
  for (int64_t step = 0; step < 3; ++step) {
    optimiser.zero_grad();
    backward(ours, step);
    optimiser.step(1.0);
  }
  TensorList state;
  for (const auto& [name, tensor] : optimiser.state()) state.emplace_back(name, tensor.clone());
  TinyModel other;
  {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < 3; ++i) other.named()[i].tensor.copy_(ours.named()[i].tensor);
  }
  Optimiser resumed = make(other, options(), {{.pattern = "head"}});  // groups may be others
  resumed.load_state(state);
  for (int64_t step = 3; step < 6; ++step) {
    for (auto* each : {&optimiser, &resumed}) each->zero_grad();
    backward(ours, step);
    backward(other, step);
    for (auto* each : {&optimiser, &resumed}) each->step(0.5);
  }
  EXPECT_TRUE(other.equals(ours));
}

INSTANTIATE_TEST_SUITE_P(All, OptimiserKind, testing::Values("adamw", "adam", "sgd", "sgd_plain"));
INSTANTIATE_TEST_SUITE_P(All, AnyOptimiser,
                         testing::Values("adamw", "adam", "sgd", "sgd_plain", "adabelief"));

/// One number under AdaBelief, written out as its authors' package steps by default.
struct BeliefByHand {
  double p, m = 0, s = 0;
  int t = 0;
  void step(double g, const AdaBeliefRates& o) {
    ++t;
    p *= 1 - o.lr * o.weight_decay;
    m = o.beta1 * m + (1 - o.beta1) * g;
    s = o.beta2 * s + (1 - o.beta2) * (g - m) * (g - m) + o.eps;
    const double b1 = 1 - std::pow(o.beta1, t), b2 = 1 - std::pow(o.beta2, t);
    const double most = 2 / (1 - o.beta2) - 1, n = most - 2 * t * (1 - b2) / b2;
    if (!o.rectify)
      p -= o.lr / b1 * m / (std::sqrt(s / b2) + o.eps);
    else if (n < 5)
      p -= o.lr / b1 * m;
    else
      p -= o.lr / b1 * m / (std::sqrt(s) + o.eps) *
           std::sqrt(b2 * (n - 4) / (most - 4) * (n - 2) / n * most / (most - 2));
  }
};

TEST(AdaBelief, StepsAsItsFormulaDoes) {
  for (const bool rectify : {true, false}) {
    const AdaBeliefRates options{0.05, 0.1, 0.8, 0.95, 1e-16, rectify};
    const TinyModel model;
    Optimiser optimiser = make(
        model, read_optimiser("kind = \"adabelief\"\nlr = 0.05\nbetas = [0.8, 0.95]\neps = 1e-16\n"
                              "weight_decay = 0.1\nrectify = " +
                              std::string(rectify ? "true" : "false")));
    BeliefByHand first{model.first.flatten()[0].item<double>()},
        second{model.second.flatten()[0].item<double>()};
    for (int step = 0; step < 12; ++step) {
      optimiser.zero_grad();
      const double g = std::sin(step + 1.0), h = 0.5 - 0.1 * step;
      model.first.mutable_grad() = at::full_like(model.first, g);
      first.step(g, options);
      if (step >= 4) {  // counts its own steps
        model.second.mutable_grad() = at::full_like(model.second, h);
        second.step(h, options);
      }
      optimiser.step(1.0);
    }
    EXPECT_NEAR(model.first.flatten()[0].item<double>(), first.p, 2e-6) << rectify;
    EXPECT_NEAR(model.second.flatten()[0].item<double>(), second.p, 2e-6) << rectify;
  }
}

TEST(AdaBelief, StepsLargeParametersAsSmallOnes) {
  at::manual_seed(3);
  constexpr int64_t kRows = 50;
  const std::vector<int64_t> size{kRows, 4000};
  // Dense, dense but for a transposed gradient, and not dense: cut or not, the same numbers.
  for (const int which : {0, 1, 2}) {
    const auto random = [&](bool transposed) {
      return transposed ? at::rand({size[1], size[0]}).t() : at::rand(size);
    };
    const at::Tensor parameter = random(which == 2), mean = random(which == 2),
                     variance = random(which == 2);
    std::vector<at::Tensor> rows[3];
    for (int64_t row = 0; row < kRows; ++row) {
      rows[0].push_back(parameter[row].clone());
      rows[1].push_back(mean[row].clone());
      rows[2].push_back(variance[row].clone());
    }
    const AdaBeliefRates rates{0.05, 0.1, 0.8, 0.95, 1e-16, true};
    for (int step = 1; step < 9; ++step) {
      const at::Tensor gradient = random(which > 0);
      adabelief_step({parameter}, {gradient}, {mean}, {variance}, step, rates);
      adabelief_step(rows[0], gradient.contiguous().unbind(), rows[1], rows[2], step, rates);
    }
    EXPECT_TRUE(at::equal(parameter, at::stack(rows[0]))) << which;
    EXPECT_TRUE(at::equal(mean, at::stack(rows[1]))) << which;
    EXPECT_TRUE(at::equal(variance, at::stack(rows[2]))) << which;
  }
}

TEST(Optimiser, ScalesEveryRateByTheSchedule) {
  const TinyModel model;
  Optimiser optimiser =
      make(model, read_optimiser("kind = \"sgd\"\nlr = 0.5\nmomentum = 0\nweight_decay = 0"),
           {{.pattern = "norm", .lr = 0.2}});
  const at::Tensor first = model.first.detach().clone(), norm = model.norm.detach().clone();
  backward(model, 0);
  optimiser.step(0.1);
  EXPECT_TRUE(model.first.allclose(first - 0.05 * model.first.grad()));
  EXPECT_TRUE(model.norm.allclose(norm - 0.02 * model.norm.grad()));
}

TEST(Optimiser, ScalesTheRateOfEachGroup) {
  const TinyModel model;
  Optimiser optimiser =
      make(model, read_optimiser("kind = \"sgd\"\nlr = 0.5\nmomentum = 0\nweight_decay = 0"),
           {{.pattern = "norm"}});
  const at::Tensor first = model.first.detach().clone(), norm = model.norm.detach().clone();
  backward(model, 0);
  optimiser.step({0.0, 0.2});
  EXPECT_TRUE(model.norm.equal(norm)) << "a factor of zero";
  EXPECT_TRUE(model.first.allclose(first - 0.1 * model.first.grad()));
}

TEST(Optimiser, LeavesParametersWithoutAGradientAndTheirStateAlone) {
  const TinyModel model;
  Optimiser optimiser = make(model, {});
  const at::Tensor before = model.first.detach().clone();
  model.second.sum().backward();
  optimiser.step(1.0);
  EXPECT_TRUE(model.first.equal(before));
  Names names;
  for (const auto& [name, tensor] : optimiser.state()) names.push_back(name);
  EXPECT_EQ(names, (Names{"exp_avg.head.second.weight", "exp_avg_sq.head.second.weight",
                          "step.head.second.weight"}));
}

TEST(Optimiser, StepsRightWhereAGradientLiesOtherwiseInMemory) {
  const TinyModel model;
  Optimiser optimiser =
      make(model, read_optimiser("kind = \"sgd\"\nlr = 1\nmomentum = 0\nweight_decay = 0"));
  const at::Tensor before = model.first.detach().clone();
  const at::Tensor gradient = at::arange(12.0).reshape({3, 4}).to(at::kFloat).t();
  at::Tensor(model.first).mutable_grad() = gradient;
  optimiser.step(1.0);
  EXPECT_TRUE(model.first.allclose(before - gradient));
}

TEST(Optimiser, ListsWhatDoesNotFitAState) {
  const TinyModel model;
  Optimiser optimiser = make(model, {});
  expect_error<DataError>(
      [&] {
        optimiser.load_state({{"exp_avg.head.norm.weight", at::zeros({3})},
                              {"step.head.norm.weight", at::zeros({})},
                              {"exp_avg.other", at::zeros({1})}});
      },
      {"exp_avg.head.norm.weight ([3] instead of [4])", "exp_avg_sq.head.norm.weight (missing)",
       "exp_avg.other (unknown)"});
  EXPECT_TRUE(optimiser.state().empty());
}

TEST(Gradients, AreClippedToTheNormOfAllTogether) {
  const TinyModel model;
  const std::vector<at::Tensor> parameters{model.first, model.norm, model.second};
  EXPECT_EQ(gradient_norm(parameters).item<float>(), 0.0f);
  at::Tensor(model.norm).mutable_grad() = at::tensor({3.0f, 0.0f, 0.0f, 0.0f});
  at::Tensor(model.first).mutable_grad() = at::zeros({4, 3}).fill_(4.0 / std::sqrt(12.0));
  EXPECT_FLOAT_EQ(gradient_norm(parameters).item<float>(), 5.0f);
  clip_gradients(parameters, gradient_norm(parameters), 10.0);
  EXPECT_FLOAT_EQ(model.norm.grad()[0].item<float>(), 3.0f);
  clip_gradients(parameters, gradient_norm(parameters), 1.0);
  EXPECT_NEAR(gradient_norm(parameters).item<float>(), 1.0f, 1e-5);
  EXPECT_NEAR(model.norm.grad()[0].item<float>(), 0.6f, 1e-5);
}

}  // namespace
}  // namespace tessera
