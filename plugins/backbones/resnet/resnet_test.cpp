#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/backbone.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

ClipBatch clip() {
  ClipBatch batch;
  batch.frames = at::randn({1, 2, 3, 32, 48});
  batch.padding_mask = at::zeros({1, 2, 32, 48}, at::kBool);
  return batch;
}

std::shared_ptr<Backbone> resnet(const std::string& options) {
  at::manual_seed(5);
  auto backbone =
      make_plugin<Backbone>("resnet", "depth = 50\nwidth = 8\noutput_stages = [1, 2]\n" + options);
  backbone->eval();
  return backbone;
}

/// Stage 2 from the features of stage 1, written out; frozen norms as they are made do nothing.
at::Tensor second_stage(const Backbone& backbone, at::Tensor x, int64_t first_stride,
                        int64_t second_stride) {
  const auto weights = backbone.named_parameters();
  for (int64_t block = 0; block < 4; ++block) {
    const std::string prefix = "layer2." + std::to_string(block) + ".";
    const int64_t first = block == 0 ? first_stride : 1, second = block == 0 ? second_stride : 1;
    auto conv = [&](const at::Tensor& input, const std::string& name, int64_t stride,
                    int64_t padding) {
      return at::conv2d(input, weights[prefix + name + ".weight"], {}, stride, padding);
    };
    at::Tensor y = conv(x, "conv1", first, 0).relu();
    y = conv(y, "conv2", second, 1).relu();
    y = conv(y, "conv3", 1, 0);
    x = (y + (block == 0 ? conv(x, "downsample.0", 2, 0) : x)).relu();
  }
  return x;
}

TEST(ResNet, HasTheStrideOfABottleneckWhereItsWeightsExpectIt) {
  at::NoGradGuard no_grad;
  for (const bool in_1x1 : {false, true}) {
    const auto backbone = resnet(in_1x1 ? "stride_in_1x1 = true" : "");
    const FeaturePyramid pyramid = backbone->forward(clip(), {});
    const at::Tensor expected = second_stage(*backbone, pyramid.levels[0].features.flatten(0, 1),
                                             in_1x1 ? 2 : 1, in_1x1 ? 1 : 2);
    // 1e-5 is the epsilon of the norms, which come after three convolutions of four blocks.
    EXPECT_TRUE(at::allclose(pyramid.levels[1].features.flatten(0, 1), expected, 1e-3, 1e-3))
        << in_1x1;
  }
}

TEST(ResNet, TurnsTheChannelsRoundForWeightsInBgr) {
  at::NoGradGuard no_grad;
  const ClipBatch rgb = clip();
  ClipBatch bgr = rgb;
  bgr.frames = rgb.frames.flip(2);
  EXPECT_TRUE(at::equal(resnet("input_order = \"bgr\"")->forward(rgb, {}).levels[0].features,
                        resnet("")->forward(bgr, {}).levels[0].features));
  EXPECT_FALSE(at::allclose(resnet("input_order = \"bgr\"")->forward(rgb, {}).levels[0].features,
                            resnet("")->forward(rgb, {}).levels[0].features));
}

}  // namespace
}  // namespace tessera
