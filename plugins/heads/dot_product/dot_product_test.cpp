#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/mask_head.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

// Frames of 16 x 24 pixels, the last 4 columns padded; backbone levels at strides 2, 4 and 8.
struct Scene {
  FeaturePyramid pyramid;
  Memory memory;
  InstanceLayer layer;
  at::Tensor boxes = at::tensor({0.5, 0.5, 0.4, 0.5}).expand({1, 2, 3, 4});
  BuildContext context;

  Scene() {
    at::manual_seed(1);
    context.queries.dim = 8;
    context.memory.dim = 8;
    context.memory.strides = {8};
    context.pyramid.levels = {{4, 2}, {6, 4}, {8, 8}};
    for (const LevelSpec& level : context.pyramid.levels) {
      const int64_t h = 16 / level.stride, w = 24 / level.stride;
      at::Tensor padding = at::zeros({1, 2, h, w}, at::kBool);
      padding.narrow(3, w - std::max<int64_t>(1, 4 / level.stride), 4 / level.stride).fill_(true);
      pyramid.levels.push_back({at::randn({1, 2, level.channels, h, w}), padding, level.stride});
    }
    memory.tokens = at::randn({1, 2, 6, 8});
    memory.levels = {{0, 2, 3, 8}};
    layer.frame = at::randn({1, 2, 3, 8});
  }
  at::Tensor logits(const std::string& options, const at::Tensor& rows,
                    const std::function<void(MaskHead&)>& change = {}) {
    auto head = make_plugin<MaskHead>("dot_product", options, context);
    if (change) change(*head);
    const ForwardContext forward;
    return head->prepare(pyramid, memory, forward)->masks(0, layer, boxes)->logits(0, rows);
  }
};

TEST(DotProduct, GivesTheRowsAskedForAtTheStrideAskedFor) {
  Scene scene;
  const at::Tensor rows = at::tensor({int64_t{2}, int64_t{0}});
  EXPECT_EQ(scene.logits("", rows).sizes(), (at::IntArrayRef{2, 2, 8, 12}));
  EXPECT_EQ(scene.logits("stride = 4", rows).sizes(), (at::IntArrayRef{2, 2, 4, 6}));
  EXPECT_EQ(scene.logits("stride = 8", rows).sizes(), (at::IntArrayRef{2, 2, 2, 3}));
  EXPECT_THROW(scene.logits("stride = 16", rows), ConfigError);
}

TEST(DotProduct, PriorIsAParaboloidAroundTheBoxOfTheUnpaddedFrame) {
  Scene scene;
  // Without an embedding only the prior is left: 3 - softplus(2) * d2.
  auto silent = [](MaskHead& head) {
    torch::NoGradGuard no_grad;
    for (auto& item : head.named_parameters())
      if (item.key().starts_with("mask_embed") || item.key().starts_with("prior_scale"))
        item.value().zero_();
  };
  const at::Tensor logits =
      scene.logits("box_prior = true", at::tensor({int64_t{1}}), silent)[0][0];  // [8,12]
  // 10 of 12 columns are there: column 7's centre is at 0.75; half a box is 0.2 wide, 0.25 high.
  const double steepness = std::log1p(std::exp(2.0));
  auto expected = [&](int64_t x, int64_t y) {
    const double dx = ((x + 0.5) / 10 - 0.5) / 0.2, dy = ((y + 0.5) / 8 - 0.5) / 0.25;
    return 3 - steepness * (dx * dx + dy * dy);
  };
  for (const auto& [x, y] : {std::pair<int64_t, int64_t>{7, 1}, {0, 0}, {4, 4}})
    EXPECT_NEAR(logits[y][x].item<double>(), expected(x, y), 1e-4) << x << " " << y;
}

TEST(DotProduct, BoxTakesNoGradientFromMasks) {
  Scene scene;
  scene.boxes = scene.boxes.clone().set_requires_grad(true);
  scene.logits("box_prior = true", at::tensor({int64_t{0}})).sum().backward();
  EXPECT_FALSE(scene.boxes.grad().defined());
}

TEST(DotProduct, MultipliesTheEncodersFeatures) {
  Scene scene;
  EXPECT_THROW(scene.logits("features = \"encoder\"", at::arange(3)), ConfigError);
  scene.context.memory.pixel_channels = 5;
  scene.memory.pixel_features = at::randn({1, 2, 5, 4, 6});
  scene.layer.clip = scene.layer.frame[0][0].unsqueeze(0);
  scene.layer.frame = at::Tensor();
  auto head = make_plugin<MaskHead>(
      "dot_product", "features = \"encoder\"\nposition = false\nembed_layers = 1", scene.context);
  const ForwardContext forward;
  const at::NoGradGuard no_grad;
  const auto masks =
      head->prepare(scene.pyramid, scene.memory, forward)->masks(0, scene.layer, at::Tensor());
  const at::Tensor logits = masks->logits(0, at::arange(3));
  auto p = head->named_parameters();
  const at::Tensor embedded = at::linear(scene.layer.clip[0], p["mask_embed.layers.0.weight"],
                                         p["mask_embed.layers.0.bias"]);
  EXPECT_TRUE(at::allclose(
      logits, at::einsum("qc,tchw->qthw", {embedded, scene.memory.pixel_features[0]}), 1e-4, 1e-5));

  // The short cuts equal the long way, with fewer rows than channels and with more.
  for (const at::Tensor& rows : {at::arange(3), at::arange(3).repeat(2)}) {
    const at::Tensor points = at::rand({1, 1, 7, 2}).expand({rows.size(0), 2, -1, -1});
    EXPECT_TRUE(at::allclose(masks->logits_at(0, rows, points),
                             masks->logits_at(0, rows, points.contiguous()), 1e-4, 1e-5));
  }
  EXPECT_TRUE(at::allclose(masks->resized(0, at::arange(3), 3, 4),
                           at::upsample_bilinear2d(logits, {3, 4}, false), 1e-4, 1e-5));
}

}  // namespace
}  // namespace tessera
