#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/interfaces/encoder.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

constexpr int64_t kDim = 8, kHeight = 2, kWidth = 3, kCells = kHeight * kWidth;

std::string options(int64_t layers, int64_t memory_tokens, const std::string& more = "") {
  return "dim = 8\nfeed_forward_dim = 12\ndropout = 0.0\nnum_layers = " + std::to_string(layers) +
         "\nnum_memory_tokens = " + std::to_string(memory_tokens) +
         "\nframe_attention = { plugin = \"dense\", num_heads = 2 }\n"
         "memory_attention = { plugin = \"dense\", num_heads = 2 }\n" +
         more;
}

// Two clips of 2 x 3 cells; the last column of clip 0 is padded.
struct Scene {
  FeaturePyramid pyramid;
  BuildContext context;

  explicit Scene(int64_t frames = 3) {
    at::manual_seed(1);
    context.pyramid.levels = {{5, 16}};
    at::Tensor padding = at::zeros({2, frames, kHeight, kWidth}, at::kBool);
    padding.select(0, 0).select(-1, kWidth - 1).fill_(true);
    pyramid.levels.push_back({at::randn({2, frames, 5, kHeight, kWidth}), padding, 16});
  }
  std::shared_ptr<Encoder> make(const std::string& text) const {
    at::manual_seed(2);
    return make_plugin<Encoder>("inter_frame", text, context);
  }
  at::Tensor& features() { return pyramid.levels[0].features; }
  at::Tensor run(Encoder& encoder) const { return encoder.forward(pyramid, {}).tokens; }
};

// What of frame 1 changes where a cell of frame 0 does: (cells, memory tokens).
std::pair<bool, bool> reaches_next_frame(const std::string& text, int64_t memory_tokens) {
  Scene scene;
  auto encoder = scene.make(text);
  torch::NoGradGuard no_grad;
  const at::Tensor before = scene.run(*encoder);
  scene.features()[1][0].select(-1, 0).add_(1.0);
  const at::Tensor changed = (scene.run(*encoder) - before).abs().amax(-1) > 0;  // [B,T,S+M]
  EXPECT_FALSE(changed[0].any().item<bool>()) << "another clip";
  return {changed[1][1].narrow(0, 0, kCells).any().item<bool>(),
          changed[1][1].narrow(0, kCells, memory_tokens).any().item<bool>()};
}

TEST(InterFrame, FramesKnowOfEachOtherThroughMemoryTokensOnly) {
  // In the first layer the tokens of frame 1 hear of frame 0; its cells hear of it in the second.
  EXPECT_EQ(reaches_next_frame(options(1, 4), 4), (std::pair{false, true}));
  EXPECT_EQ(reaches_next_frame(options(2, 4), 4), (std::pair{true, true}));
  EXPECT_EQ(reaches_next_frame(options(2, 0), 0), (std::pair{false, false}));
}

TEST(InterFrame, PermutesWithTheFrames) {
  Scene scene;
  auto encoder = scene.make(options(2, 4));
  torch::NoGradGuard no_grad;
  const at::Tensor order = at::tensor({int64_t{2}, int64_t{0}, int64_t{1}});
  const at::Tensor output = scene.run(*encoder).index_select(1, order);
  FeatureLevel& level = scene.pyramid.levels[0];
  level.features = level.features.index_select(1, order);
  EXPECT_TRUE(at::allclose(scene.run(*encoder), output, 1e-4, 1e-5));
}

TEST(InterFrame, GivesItsTokensAsAMemory) {
  Scene scene;
  auto encoder = scene.make(options(1, 4));
  const Memory memory = encoder->forward(scene.pyramid, {});
  EXPECT_EQ(encoder->spec().strides, std::vector<int64_t>{16});
  EXPECT_EQ(memory.level_map(0).sizes(), (at::IntArrayRef{2, 3, kDim, kHeight, kWidth}));
  EXPECT_EQ(memory.position.sizes(), memory.tokens.sizes());
  // Padded cells are so, memory tokens never are.
  EXPECT_EQ(memory.padding_mask[0][0].sum().item<int64_t>(), kHeight);
  EXPECT_FALSE(memory.padding_mask.narrow(2, kCells, 4).any().item<bool>());
  EXPECT_NEAR(memory.valid_ratio[0][0][0][0].item<double>(), 2.0 / 3.0, 1e-6);
  scene.pyramid.levels[0].padding_mask.zero_();
  EXPECT_FALSE(encoder->forward(scene.pyramid, {}).padding_mask.defined());
}

// The derivative along a random direction of all parameters, against a difference quotient.
TEST(InterFrame, HasTheGradientOfItsOutput) {
  for (const char* more : {"", "pre_norm = true\nactivation = \"gelu\""}) {
    Scene scene;
    scene.features() = scene.features().to(at::kDouble);
    auto encoder = scene.make(options(2, 3, more));
    encoder->to(at::kDouble);
    const at::Tensor weights = at::randn({2, 3, kCells + 3, kDim}, at::kDouble);
    auto value = [&] { return (scene.run(*encoder) * weights).sum(); };
    value().backward();
    std::vector<at::Tensor> directions;
    double expected = 0;
    for (const auto& item : encoder->named_parameters()) {
      ASSERT_TRUE(item.value().grad().defined()) << item.key();
      directions.push_back(at::randn_like(item.value()));
      expected += (item.value().grad() * directions.back()).sum().item<double>();
    }
    torch::NoGradGuard no_grad;
    constexpr double kStep = 1e-6;
    auto move = [&](double step) {
      auto parameters = encoder->parameters();
      for (size_t i = 0; i < parameters.size(); ++i) parameters[i].add_(directions[i], step);
    };
    move(kStep);
    const double above = value().item<double>();
    move(-2 * kStep);
    const double below = value().item<double>();
    EXPECT_NEAR((above - below) / (2 * kStep), expected, 1e-5 * std::abs(expected) + 1e-5) << more;
  }
}

TEST(InterFrame, RefusesAttentionThatNeedsPlaces) {
  const Scene scene;
  EXPECT_THROW(make_plugin<Encoder>("inter_frame",
                                    "dim = 8\nframe_attention = { plugin = \"st_deformable\", "
                                    "num_heads = 2, num_points = 2 }",
                                    scene.context),
               ConfigError);
  EXPECT_THROW(make_plugin<Encoder>("inter_frame", "feature_level = 1", scene.context),
               ConfigError);
}

}  // namespace
}  // namespace tessera
