#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/interfaces/decoder.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

constexpr int64_t kDim = 16, kFrames = 3, kQueries = 4;

/// Boxes that depend on the layer's embeddings of the frame, so that refinement matters.
class Boxes final : public InstancePredictor {
 public:
  LayerPrediction predict(int64_t layer, const InstanceLayer& embeddings,
                          PredictionWant want) override {
    EXPECT_TRUE(want.boxes);
    asked.push_back(layer);
    LayerPrediction prediction;
    if (!silent) prediction.boxes = embeddings.frame.narrow(-1, 0, 4).sigmoid();
    return prediction;
  }
  std::vector<int64_t> asked;
  bool silent = false;
};

struct Scene {
  Memory memory;
  Boxes boxes;
  std::shared_ptr<Decoder> decoder;

  explicit Scene(const std::string& options = "") {
    at::manual_seed(1);
    BuildContext context;
    context.clip.num_frames = kFrames;
    context.memory.dim = kDim;
    context.memory.strides = {8, 16};
    memory.levels = {{0, 4, 6, 8}, {24, 2, 3, 16}};
    memory.tokens = at::randn({2, kFrames, 30, kDim});
    memory.valid_ratio = at::ones({2, kFrames, 2, 2});
    decoder = test_support::make_plugin<Decoder>(
        "decomposed_queries", "num_layers = 3\nnum_queries = 4\nfeed_forward_dim = 32\n" + options,
        context);
    decoder->eval();
  }
  InstanceEmbeddings run() { return decoder->forward(memory, boxes, {}); }
};

TEST(DecomposedQueries, LooksAroundTheBoxesOfTheLayerBefore) {
  Scene scene;
  const InstanceEmbeddings out = scene.run();
  ASSERT_EQ(out.layers.size(), 3U);
  EXPECT_EQ(scene.boxes.asked, (std::vector<int64_t>{0, 1}));  // the last layer's are not needed
  EXPECT_EQ(out.layers[0].references.sizes(), at::IntArrayRef({2, kFrames, kQueries, 2}));
  EXPECT_TRUE(out.layers[0].references.requires_grad());
  for (size_t i = 1; i < 3; ++i) {
    const at::Tensor before = out.layers[i - 1].frame.narrow(-1, 0, 4).sigmoid();
    EXPECT_TRUE(at::equal(out.layers[i].references, before));
    EXPECT_FALSE(out.layers[i].references.requires_grad());
  }
}

TEST(DecomposedQueries, LooksAroundItsPointsWithoutRefinement) {
  Scene scene("refine_boxes = false");
  const InstanceEmbeddings out = scene.run();
  EXPECT_TRUE(scene.boxes.asked.empty());
  EXPECT_TRUE(at::equal(out.layers[2].references, out.layers[0].references));
}

// Frames meet in the instance query alone, whose weights over time do not know their order.
TEST(DecomposedQueries, InstancesDoNotDependOnTheOrderOfFrames) {
  Scene scene;
  torch::NoGradGuard no_grad;
  const InstanceLayer before = scene.run().layers.back();
  scene.memory.tokens = scene.memory.tokens.flip(1);
  const InstanceLayer after = scene.run().layers.back();
  EXPECT_TRUE(at::allclose(after.clip, before.clip, 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(after.frame, before.frame.flip(1), 1e-4, 1e-5));
}

TEST(DecomposedQueries, BoxQueriesSeeOtherFramesOnlyOverTime) {
  for (const bool over_time : {false, true}) {
    Scene scene(over_time ? "temporal_attention = { plugin = \"temporal\", num_heads = 4 }" : "");
    torch::NoGradGuard no_grad;
    const at::Tensor before = scene.run().layers.back().frame;
    scene.memory.tokens.select(1, 2).add_(1.0);
    const at::Tensor change = (scene.run().layers.back().frame - before).abs().amax({0, 2, 3});
    EXPECT_GT(change[2].item<double>(), 1e-4);
    EXPECT_EQ(change[0].item<double>() > 1e-6, over_time);
  }
}

TEST(DecomposedQueries, RefusesWhatCannotWork) {
  EXPECT_THROW(Scene("cross_attention = { plugin = \"dense\" }"), ConfigError);
  EXPECT_THROW(Scene("self_attention = { plugin = \"ms_deformable\" }"), ConfigError);
  EXPECT_THROW(Scene("temporal_attention = { plugin = \"dense\", scope = \"frame\" }"),
               ConfigError);
  Scene scene;
  scene.boxes.silent = true;
  EXPECT_THROW(scene.run(), ConfigError);
}

}  // namespace
}  // namespace tessera
