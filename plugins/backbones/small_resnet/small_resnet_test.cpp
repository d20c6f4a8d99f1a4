#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/backbone.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

ClipBatch batch_of(int64_t height, int64_t width) {
  ClipBatch batch;
  batch.frames = at::randn({2, 3, 3, height, width});
  batch.padding_mask = at::zeros({2, 3, height, width}, at::kBool);
  return batch;
}

TEST(SmallResNet, HasALevelAtEveryStride) {
  at::manual_seed(1);
  auto part = make_plugin<Backbone>("small_resnet", "channels = [8, 12, 16, 20]");
  const FeaturePyramid pyramid = part->forward(batch_of(33, 48), {});
  const PyramidSpec spec = part->spec();
  ASSERT_EQ(pyramid.levels.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const FeatureLevel& level = pyramid.levels[i];
    EXPECT_EQ(level.stride, int64_t{2} << i);
    EXPECT_EQ(spec.levels[i].stride, level.stride);
    EXPECT_EQ(level.features.size(2), spec.levels[i].channels);
    EXPECT_EQ(level.features.size(3), (33 + level.stride - 1) / level.stride);
    EXPECT_EQ(level.padding_mask.size(3), level.features.size(4));
  }
}

// Statistics that a few training passes left, folded into the convolutions, are what evaluation
// with a batch norm of its own would give.
TEST(SmallResNet, FrozenStatisticsEqualBatchNormInEvaluation) {
  at::manual_seed(1);
  auto trained = make_plugin<Backbone>("small_resnet", "");
  for (int i = 0; i < 3; ++i) trained->forward(batch_of(32, 32), {});
  auto frozen = make_plugin<Backbone>("small_resnet", "frozen_statistics = true");
  {
    torch::NoGradGuard no_grad;
    auto to = frozen->named_parameters();
    for (const auto& item : trained->named_parameters()) to[item.key()].copy_(item.value());
    auto buffers = frozen->named_buffers();
    for (const auto& item : trained->named_buffers()) buffers[item.key()].copy_(item.value());
  }
  trained->eval();
  frozen->train();
  const ClipBatch batch = batch_of(32, 32);
  const at::Tensor before = frozen->named_buffers()["stem.norm.running_mean"].clone();
  const FeaturePyramid a = trained->forward(batch, {}), b = frozen->forward(batch, {});
  EXPECT_TRUE(at::allclose(a.levels.back().features, b.levels.back().features, 1e-4, 1e-5));
  auto p = trained->named_parameters();
  auto s = trained->named_buffers();
  const at::Tensor stem =
      at::batch_norm(at::conv2d(batch.frames.flatten(0, 1), p["stem.conv.weight"], {}, 2, 1),
                     p["stem.norm.weight"], p["stem.norm.bias"], s["stem.norm.running_mean"],
                     s["stem.norm.running_var"], false, 0.0, 1e-5, false)
          .relu();
  EXPECT_TRUE(at::allclose(b.levels[0].features.flatten(0, 1), stem, 1e-4, 1e-5));
  EXPECT_TRUE(at::equal(before, frozen->named_buffers()["stem.norm.running_mean"]));
  b.levels.back().features.sum().backward();
  EXPECT_TRUE(frozen->named_parameters()["stem.norm.weight"].grad().defined());
}

}  // namespace
}  // namespace tessera
