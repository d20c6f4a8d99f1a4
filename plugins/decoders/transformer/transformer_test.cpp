#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/decoder.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

constexpr int64_t kFrames = 3, kDim = 16;

BuildContext context() {
  BuildContext context;
  context.clip = {kFrames, 4};
  context.memory.dim = kDim;
  context.memory.strides = {8};
  return context;
}

Memory memory_of(int64_t frames) {
  Memory memory;
  memory.tokens = at::randn({1, frames, 6, kDim});
  memory.levels = {{0, 2, 3, 8}};
  memory.valid_ratio = at::ones({1, frames, 1, 2});
  return memory;
}

/// Says that every box is one step to the right of where its query looked.
class StepRight final : public InstancePredictor {
 public:
  LayerPrediction predict(int64_t layer, const InstanceLayer& embeddings,
                          PredictionWant want) override {
    EXPECT_TRUE(want.boxes);
    EXPECT_FALSE(want.masks);
    layers.push_back(layer);
    LayerPrediction prediction;
    const at::Tensor centre = embeddings.references + at::tensor({0.1f, 0.0f});
    prediction.boxes = at::constant_pad_nd(centre, {0, 2}, 0.2).set_requires_grad(true);
    return prediction;
  }
  std::vector<int64_t> layers;
};

const std::string kSmall =
    "num_layers = 3\nnum_queries = 4\nfeed_forward_dim = 8\ndropout = 0.0\n"
    "self_attention = { plugin = \"dense\", num_heads = 2 }\n"
    "cross_attention = { plugin = \"st_deformable\", num_heads = 2, num_points = 3 }\n";

TEST(TransformerDecoder, MovingReferencesFollowTheBoxes) {
  at::manual_seed(1);
  auto decoder = make_plugin<Decoder>(
      "transformer", kSmall + "queries = \"repeated\"\nreferences = \"moving\"", context());
  StepRight predictor;
  const InstanceEmbeddings embeddings = decoder->forward(memory_of(kFrames), predictor, {});
  ASSERT_EQ(embeddings.layers.size(), 3u);
  // The last layer's boxes move nothing any more.
  EXPECT_EQ(predictor.layers, (std::vector<int64_t>{0, 1}));
  const at::Tensor first = embeddings.layers[0].references;  // [B,T,Q,2]
  EXPECT_EQ(first.sizes(), (at::IntArrayRef{1, kFrames, 4, 2}));
  // Four queries begin at the centres of the quarters, in every frame.
  EXPECT_TRUE(at::allclose(
      first[0][2],
      at::tensor({0.25f, 0.25f, 0.75f, 0.25f, 0.25f, 0.75f, 0.75f, 0.75f}).view({4, 2})));
  EXPECT_TRUE(at::allclose(embeddings.layers[2].references, first + at::tensor({0.2f, 0.0f})));
  EXPECT_TRUE(first.requires_grad());  // the start is learnt
  EXPECT_FALSE(embeddings.layers[1].references.requires_grad());
}

TEST(TransformerDecoder, RepeatedQueriesTakeClipsOfAnyLength) {
  at::manual_seed(1);
  auto decoder = make_plugin<Decoder>("transformer", kSmall + "queries = \"repeated\"", context());
  EXPECT_EQ(decoder->needs().fixed_frames, 0);
  StepRight unused;
  for (const int64_t frames : {1, 3, 7}) {
    const InstanceEmbeddings embeddings = decoder->forward(memory_of(frames), unused, {});
    EXPECT_EQ(embeddings.layers.back().frame.sizes(), (at::IntArrayRef{1, frames, 4, kDim}));
  }
}

// SimVTR: what comes out for the clip is what every frame is given.
TEST(TransformerDecoder, RepeatsTheClipsEmbeddingsOverItsFrames) {
  at::manual_seed(1);
  auto repeated = make_plugin<Decoder>(
      "transformer", kSmall + "queries = \"per_clip\"\nrepeat_over_frames = true", context());
  at::manual_seed(1);
  auto plain = make_plugin<Decoder>("transformer", kSmall + "queries = \"per_clip\"", context());
  EXPECT_TRUE(repeated->spec().per_frame);
  EXPECT_FALSE(plain->spec().per_frame);
  EXPECT_EQ(repeated->needs().fixed_frames, 0);
  repeated->eval();
  plain->eval();
  StepRight unused;
  for (const int64_t frames : {1, 5}) {
    const Memory memory = memory_of(frames);
    const auto a = repeated->forward(memory, unused, {}), b = plain->forward(memory, unused, {});
    for (size_t i = 0; i < a.layers.size(); ++i) {
      EXPECT_EQ(a.layers[i].frame.sizes(), (at::IntArrayRef{1, frames, 4, kDim}));
      for (int64_t t = 0; t < frames; ++t)
        EXPECT_TRUE(at::equal(a.layers[i].frame.select(1, t), b.layers[i].clip));
    }
  }
  EXPECT_THROW(make_plugin<Decoder>("transformer", kSmall + "repeat_over_frames = true", context()),
               ConfigError);
}

TEST(TransformerDecoder, ClipQueriesHaveNoPlaceToMove) {
  EXPECT_THROW(
      make_plugin<Decoder>("transformer",
                           kSmall + "queries = \"per_clip\"\nreferences = \"moving\"", context()),
      ConfigError);
}

TEST(TransformerDecoder, WithoutLayersItSaysNothing) {
  auto decoder = make_plugin<Decoder>("transformer", "num_layers = 0", context());
  StepRight unused;
  EXPECT_TRUE(decoder->forward(memory_of(kFrames), unused, {}).layers.empty());
  EXPECT_EQ(decoder->spec().num_layers, 0);
}

}  // namespace
}  // namespace tessera
