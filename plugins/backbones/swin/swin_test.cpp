#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <array>

#include "core/error.h"
#include "core/interfaces/backbone.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

const std::string kSmall =
    "embed_dim = 8\ndepths = [2, 2, 2, 2]\nnum_heads = [1, 2, 2, 4]\nwindow_size = 4\n";

ClipBatch batch_of(int64_t frames, int64_t height, int64_t width) {
  ClipBatch batch;
  batch.frames = at::randn({1, frames, 3, height, width});
  batch.padding_mask = at::zeros({1, frames, height, width}, at::kBool);
  return batch;
}

at::Tensor sum_of(const FeaturePyramid& pyramid) {
  at::Tensor sum;
  for (const auto& level : pyramid.levels) {
    const at::Tensor term = (level.features * level.features.detach().sin()).sum();
    sum = sum.defined() ? sum + term : term;
  }
  return sum;
}

TEST(Swin, TakesAnySizeAndGivesFourStages) {
  at::manual_seed(1);
  auto part = make_plugin<Backbone>("swin", kSmall);
  for (const auto& [height, width] : {std::pair{64, 96}, {33, 50}, {7, 5}}) {
    const FeaturePyramid pyramid = part->forward(batch_of(2, height, width), {});
    ASSERT_EQ(pyramid.levels.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      const FeatureLevel& level = pyramid.levels[i];
      EXPECT_EQ(level.stride, int64_t{4} << i);
      EXPECT_EQ(level.features.sizes(),
                (at::IntArrayRef{1, 2, 8 << i, (height + level.stride - 1) / level.stride,
                                 (width + level.stride - 1) / level.stride}));
      EXPECT_EQ(level.padding_mask.size(3), level.features.size(4));
    }
  }
}

TEST(Swin, HasThePublishedSizes) {
  // Millions of parameters of the published classifiers without their head (norm0..2 added).
  for (const auto& [variant, millions] :
       {std::pair{"tiny", 27.5}, {"small", 48.8}, {"base", 86.7}, {"large", 195.0}}) {
    auto part = make_plugin<Backbone>("swin", std::string("variant = \"") + variant + "\"");
    int64_t count = 0;
    for (const auto& parameter : part->parameters()) count += parameter.numel();
    EXPECT_NEAR(static_cast<double>(count) / 1e6, millions, 0.1) << variant;
  }
}

// A frame of the exact size of one window sees itself whole: attention written out by hand.
TEST(Swin, OneWindowIsPlainAttentionWithAPositionBias) {
  at::manual_seed(2);
  auto part = make_plugin<Backbone>(
      "swin",
      "embed_dim = 8\ndepths = [1, 1, 1, 1]\nnum_heads = [2, 2, 2, 2]\nwindow_size = 3\n"
      "output_stages = [1]\n");
  part->eval();
  auto p = part->named_parameters();
  const at::NoGradGuard no_grad;
  p["layers.0.blocks.0.attn.relative_position_bias_table"].normal_();
  const ClipBatch batch = batch_of(1, 12, 12);
  at::Tensor patches;
  ForwardContext context;
  context.probe = [&](const std::string& name, const at::Tensor& value) {
    if (name == "backbone.patch_embed") patches = value;
  };
  const at::Tensor found = part->forward(batch, context).levels[0].features[0][0];  // [8,3,3]
  const std::string block = "layers.0.blocks.0.";
  auto norm = [&](const at::Tensor& x, const std::string& name) {
    return at::layer_norm(x, {8}, p[name + ".weight"], p[name + ".bias"]);
  };
  auto linear = [&](const at::Tensor& x, const std::string& name) {
    return at::linear(x, p[name + ".weight"], p[name + ".bias"]);
  };
  at::Tensor x = patches[0][0].flatten(1).t();  // [9,8]
  const at::Tensor qkv = linear(norm(x, block + "norm1"), block + "attn.qkv");
  at::Tensor out = at::zeros({9, 8});
  for (int64_t head = 0; head < 2; ++head) {
    auto part_of = [&](int64_t which) { return qkv.narrow(1, which * 8 + head * 4, 4); };
    at::Tensor score = at::matmul(part_of(0) * 0.5, part_of(1).t());
    for (int64_t i = 0; i < 9; ++i)
      for (int64_t j = 0; j < 9; ++j)
        score[i][j] += p[block + "attn.relative_position_bias_table"]
                        [(i / 3 - j / 3 + 2) * 5 + (i % 3 - j % 3 + 2)][head];
    out.narrow(1, head * 4, 4).copy_(at::matmul(score.softmax(-1), part_of(2)));
  }
  x = x + linear(out, block + "attn.proj");
  x = x + linear(at::gelu(linear(norm(x, block + "norm2"), block + "mlp.fc1")), block + "mlp.fc2");
  EXPECT_TRUE(at::allclose(found, norm(x, "norm0").t().reshape({8, 3, 3}), 1e-4, 1e-5));
}

// Cells that only the shift brought into one window do not see each other.
TEST(Swin, ShiftedWindowsDoNotWrapRound) {
  at::manual_seed(3);
  auto part = make_plugin<Backbone>(
      "swin",
      "embed_dim = 8\ndepths = [2, 1, 1, 1]\nnum_heads = [2, 2, 2, 2]\nwindow_size = 4\n"
      "output_stages = [1]\n");
  part->eval();
  const at::NoGradGuard no_grad;
  ClipBatch batch = batch_of(1, 32, 32);  // 8x8 cells, 2x2 windows
  const at::Tensor before = part->forward(batch, {}).levels[0].features.clone();
  batch.frames[0][0].select(1, 0).select(1, 0).add_(5.0);  // a pixel of cell (0, 0)
  const at::Tensor changed =
      (part->forward(batch, {}).levels[0].features - before).abs().amax({0, 1, 2});  // [8,8]
  EXPECT_GT(changed[3][3].item<double>(), 0.0);                                      // same window
  EXPECT_GT(changed[5][5].item<double>(), 0.0);  // by way of the shifted window
  EXPECT_EQ(changed[7][7].item<double>(), 0.0);  // its neighbour only round the corner
  EXPECT_EQ(changed[0][7].item<double>(), 0.0);
}

TEST(Swin, CheckpointedActivationsGiveTheSameGradients) {
  const ClipBatch batch = batch_of(2, 40, 56);
  std::vector<at::Tensor> gradients[2];
  at::Tensor loss[2];
  for (const int64_t checkpointed : {0, 1}) {
    at::manual_seed(4);
    auto part = make_plugin<Backbone>(
        "swin", kSmall + "stochastic_depth = 0.5\ndropout = 0.1\nfrozen_stages = 1\n" +
                    "checkpoint_activations = " + (checkpointed ? "true" : "false"));
    at::manual_seed(5);
    loss[checkpointed] = sum_of(part->forward(batch, {}));
    loss[checkpointed].backward();
    for (const auto& parameter : part->parameters())
      gradients[checkpointed].push_back(parameter.grad());
  }
  EXPECT_TRUE(at::equal(loss[0], loss[1]));
  for (size_t i = 0; i < gradients[0].size(); ++i) {
    ASSERT_EQ(gradients[0][i].defined(), gradients[1][i].defined());
    if (gradients[0][i].defined()) {
      EXPECT_TRUE(at::allclose(gradients[0][i], gradients[1][i], 1e-4, 1e-5));
    }
  }
}

// A frame skips a branch or takes it scaled up, which keeps the mean: the result is that of one of
// four models without stochastic depth.
TEST(Swin, StochasticDepthSkipsOrScalesABranch) {
  at::manual_seed(6);
  // Of five blocks the second is skipped with a quarter of the last one's probability.
  auto part = make_plugin<Backbone>(
      "swin",
      "embed_dim = 8\ndepths = [2, 1, 1, 1]\nnum_heads = [1, 1, 1, 1]\nwindow_size = 4\n"
      "output_stages = [1]\nstochastic_depth = 0.8\n");
  constexpr double kKept = 0.8;
  const at::NoGradGuard no_grad;
  const ClipBatch batch = batch_of(1, 16, 16);
  const auto output = [&] { return part->forward(batch, {}).levels[0].features[0][0]; };
  part->train();
  std::vector<at::Tensor> drawn;
  for (int i = 0; i < 40; ++i) drawn.push_back(output());

  part->eval();
  auto parameters = part->named_parameters();
  const auto output_with = [&](double attention, double mlp) {
    std::vector<std::pair<at::Tensor, at::Tensor>> before;
    for (const auto& [name, factor] : {std::pair{"attn.proj", attention}, {"mlp.fc2", mlp}})
      for (const char* leaf : {".weight", ".bias"}) {
        at::Tensor& tensor = parameters[std::string("layers.0.blocks.1.") + name + leaf];
        before.emplace_back(tensor, tensor.clone());
        tensor.mul_(factor);
      }
    const at::Tensor result = output();
    for (auto& [tensor, values] : before) tensor.copy_(values);
    return result;
  };
  std::array<int, 4> times{};
  std::vector<at::Tensor> possible;
  for (const double attention : {0.0, 1 / kKept})
    for (const double mlp : {0.0, 1 / kKept}) possible.push_back(output_with(attention, mlp));
  for (const at::Tensor& result : drawn) {
    int matches = 0;
    for (size_t i = 0; i < possible.size(); ++i)
      if (at::allclose(result, possible[i], 1e-4, 1e-5)) ++times[i], ++matches;
    EXPECT_EQ(matches, 1);
  }
  EXPECT_GT(times[3], times[0]);  // 26 and 2 are expected
  EXPECT_GT(times[1] + times[2], 0);
}

TEST(Swin, RefusesHeadsThatDoNotDivide) {
  EXPECT_THROW(make_plugin<Backbone>("swin", "num_heads = [3, 6, 12, 25]"), ConfigError);
  EXPECT_THROW(make_plugin<Backbone>("swin", "depths = [2, 2]"), ConfigError);
}

}  // namespace
}  // namespace tessera
