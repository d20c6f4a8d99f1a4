#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/encoder.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

const std::string kTokens =
    "norm_groups = 4\n"
    "tokens = { plugin = \"transformer\", dim = 16, num_layers = 1, feed_forward_dim = 8, "
    "feature_levels = [-1, -2], projection_norm_groups = 4, level_embedding = true, "
    "use_padding_mask = false, dropout = 0.0, position = { kind = \"2d\" }, "
    "attention = { plugin = \"ms_deformable\", num_heads = 2, num_points = 2 } }\n";

// Frames of 32 x 48 pixels at strides 4, 8 and 16, the right third of clip 0 padded.
struct Scene {
  BuildContext context;
  FeaturePyramid pyramid;
  Scene() {
    at::manual_seed(1);
    context.pyramid.levels = {{6, 4}, {8, 8}, {10, 16}};
    for (const LevelSpec& level : context.pyramid.levels) {
      const int64_t h = 32 / level.stride, w = 48 / level.stride;
      at::Tensor padding = at::zeros({2, 3, h, w}, at::kBool);
      padding.select(0, 0).narrow(2, w - w / 3, w / 3).fill_(true);
      pyramid.levels.push_back({at::randn({2, 3, level.channels, h, w}), padding, level.stride});
    }
  }
};

TEST(PixelDecoder, GivesCoarseTokensInOrderAndFineFeatures) {
  Scene scene;
  auto encoder = make_plugin<Encoder>("pixel_decoder", kTokens + "channels = 12", scene.context);
  const Memory memory = encoder->forward(scene.pyramid, {});
  EXPECT_EQ(memory.pixel_features.sizes(), (at::IntArrayRef{2, 3, 12, 8, 12}));
  EXPECT_EQ(encoder->spec().pixel_channels, 12);
  EXPECT_EQ(encoder->spec().strides, (std::vector<int64_t>{16, 8}));
  EXPECT_EQ(memory.tokens.size(2), 2 * 3 + 4 * 6);
  // Every other part gets a gradient from the fine features, which are the finest level's.
  memory.pixel_features.sum().backward();
  for (const auto& item : encoder->named_parameters())
    if (item.key().starts_with("adapter_1") || item.key().starts_with("layer_1")) {
      EXPECT_TRUE(item.value().grad().defined()) << item.key();
    }
}

TEST(PixelDecoder, ReachesTheStrideAskedFor) {
  Scene scene;
  auto coarse = make_plugin<Encoder>("pixel_decoder", kTokens + "stride = 8", scene.context);
  EXPECT_EQ(coarse->forward(scene.pyramid, {}).pixel_features.size(4), 6);
  EXPECT_FALSE(coarse->named_parameters().contains("adapter_1.weight"));
  EXPECT_THROW(make_plugin<Encoder>("pixel_decoder", kTokens + "stride = 2", scene.context),
               ConfigError);
}

TEST(PixelDecoder, TakesPaddingForPixelsWhereTold) {
  Scene scene;
  auto encoder = make_plugin<Encoder>("pixel_decoder", kTokens, scene.context);
  const Memory memory = encoder->forward(scene.pyramid, {});
  EXPECT_FALSE(memory.padding_mask.defined());
  EXPECT_TRUE(at::equal(memory.valid_ratio, at::ones_like(memory.valid_ratio)));
  for (FeatureLevel& level : scene.pyramid.levels)
    level.padding_mask = at::zeros_like(level.padding_mask);
  EXPECT_TRUE(at::equal(encoder->forward(scene.pyramid, {}).tokens, memory.tokens));
}

TEST(PixelDecoder, AsksForFramesThatDivide) {
  Scene scene;
  EXPECT_EQ(make_plugin<Encoder>("pixel_decoder", kTokens + "size_divisor = 32", scene.context)
                ->needs()
                .size_divisor,
            32);
}

}  // namespace
}  // namespace tessera
