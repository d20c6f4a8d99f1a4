#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/encoder.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

const std::string kTokens =
    "norm_groups = 4\ntokens = { plugin = \"inter_frame\", dim = 16, num_layers = 1, "
    "num_memory_tokens = 2, feed_forward_dim = 8, dropout = 0.0, frame_attention = { plugin = "
    "\"dense\", num_heads = 2 }, memory_attention = { plugin = \"dense\", num_heads = 2 } }\n";

// Frames of 64 x 96 pixels at strides 8, 16 and 32.
struct Scene {
  BuildContext context;
  FeaturePyramid pyramid;
  Scene() {
    at::manual_seed(1);
    context.pyramid.levels = {{6, 8}, {8, 16}, {10, 32}};
    for (const LevelSpec& level : context.pyramid.levels) {
      const int64_t h = 64 / level.stride, w = 96 / level.stride;
      pyramid.levels.push_back({at::randn({2, 3, level.channels, h, w}),
                                at::zeros({2, 3, h, w}, at::kBool), level.stride});
    }
  }
  std::shared_ptr<Encoder> make(const std::string& more = "") const {
    return make_plugin<Encoder>("spatial_decoder", kTokens + more, context);
  }
};

TEST(SpatialDecoder, EqualsTheFormula) {
  Scene scene;
  auto encoder = scene.make();
  torch::NoGradGuard no_grad;
  const Memory memory = encoder->forward(scene.pyramid, {});
  const auto p = encoder->named_parameters();
  auto conv = [&](const at::Tensor& x, const std::string& name, int64_t groups = 1) {
    const at::Tensor weight = p[name + ".weight"];
    return at::conv2d(x, weight, p[name + ".bias"], 1, weight.size(2) / 2, 1, groups);
  };
  auto step = [&](const at::Tensor& x, const std::string& number) {
    return at::group_norm(conv(x, "lay" + number), 4, p["gn" + number + ".weight"],
                          p["gn" + number + ".bias"]);
  };
  auto twice = [](const at::Tensor& x) {  // nearest
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3);
  };
  for (int64_t clip = 0; clip < 2; ++clip)
    for (int64_t t = 0; t < 3; ++t) {
      auto frame = [&](const at::Tensor& x) { return x[clip][t].unsqueeze(0); };
      at::Tensor x = step(frame(memory.level_map(0)), "1");
      x = step(twice(x) + conv(frame(scene.pyramid.levels[1].features), "adapter1"), "2");
      x = step(twice(x) + conv(frame(scene.pyramid.levels[0].features), "adapter2"), "3").relu();
      x = conv(conv(x, "out_lay.depthwise", 16).relu(), "out_lay.pointwise").relu();
      EXPECT_TRUE(at::allclose(frame(memory.pixel_features), x, 1e-4, 1e-5));
    }
}

TEST(SpatialDecoder, HandsOnTheTokensAndReachesTheStrideAskedFor) {
  Scene scene;
  auto encoder = scene.make("stride = 16");
  const Memory memory = encoder->forward(scene.pyramid, {});
  EXPECT_EQ(memory.tokens.sizes(), (at::IntArrayRef{2, 3, 2 * 3 + 2, 16}));
  EXPECT_EQ(memory.pixel_features.sizes(), (at::IntArrayRef{2, 3, 16, 4, 6}));
  EXPECT_EQ(encoder->spec().pixel_channels, 16);
  EXPECT_EQ(encoder->spec().pixel_stride, 16);
  EXPECT_FALSE(encoder->named_parameters().contains("adapter2.weight"));
  EXPECT_THROW(scene.make("stride = 4"), ConfigError);
}

}  // namespace
}  // namespace tessera
