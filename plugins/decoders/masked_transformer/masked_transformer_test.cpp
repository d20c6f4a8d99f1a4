#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/interfaces/decoder.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

constexpr int64_t kDim = 16, kQueries = 3, kFrames = 2;
const std::string kSmall =
    "num_layers = 4\nnum_queries = 3\nfeed_forward_dim = 8\n"
    "self_attention = { plugin = \"dense\", num_heads = 2 }\n"
    "cross_attention = { plugin = \"masked\", attention = { plugin = \"dense\", num_heads = 2 } "
    "}\n";

BuildContext context() {
  BuildContext context;
  context.clip = {kFrames, 4};
  context.memory.dim = kDim;
  context.memory.strides = {16, 8};
  return context;
}

// Levels of 2x3 and 4x6 cells.
Memory memory_of(int64_t clips, int64_t frames) {
  Memory memory;
  memory.tokens = at::randn({clips, frames, 30, kDim});
  memory.levels = {{0, 2, 3, 16}, {6, 4, 6, 8}};
  memory.valid_ratio = at::ones({clips, frames, 2, 2});
  return memory;
}

class FixedMasks final : public MaskSource {
 public:
  explicit FixedMasks(at::Tensor logits) : logits_(std::move(logits)) {}
  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return logits_.select(0, clip).index_select(0, rows);
  }

 private:
  at::Tensor logits_;  // [B,Q,T,h,w]
};

/// Says that every mask is the right half of the frame; query 0's is empty.
class RightHalf final : public InstancePredictor {
 public:
  explicit RightHalf(int64_t clips, int64_t frames) {
    logits_ = at::full({clips, kQueries, frames, 8, 12}, -1.0, at::kFloat);
    logits_.narrow(1, 1, 2).narrow(4, 6, 6).fill_(1.0);
  }
  LayerPrediction predict(int64_t layer, const InstanceLayer& embeddings,
                          PredictionWant want) override {
    EXPECT_TRUE(want.masks && !want.boxes && !want.classes);
    EXPECT_TRUE(embeddings.clip.defined());
    layers.push_back(layer);
    LayerPrediction prediction;
    prediction.masks = std::make_shared<FixedMasks>(logits_);
    return prediction;
  }
  std::vector<int64_t> layers;

 private:
  at::Tensor logits_;
};

TEST(MaskedTransformer, PredictsOnceMoreThanItHasLayers) {
  auto decoder = make_plugin<Decoder>("masked_transformer", kSmall, context());
  RightHalf predictor(2, kFrames);
  const auto embeddings = decoder->forward(memory_of(2, kFrames), predictor, {});
  ASSERT_EQ(embeddings.layers.size(), 5u);
  EXPECT_EQ(decoder->spec().num_layers, 5);
  EXPECT_EQ(predictor.layers, (std::vector<int64_t>{0, 1, 2, 3}));
  // The first knows nothing of the clip.
  EXPECT_TRUE(at::equal(embeddings.layers[0].clip[0], embeddings.layers[0].clip[1]));
  EXPECT_FALSE(at::allclose(embeddings.layers[1].clip[0], embeddings.layers[1].clip[1]));
}

TEST(MaskedTransformer, LayersTakeTurnsWithLevelsAndReadUnderTheMaskBefore) {
  at::manual_seed(1);
  auto decoder = make_plugin<Decoder>("masked_transformer", kSmall, context());
  std::map<std::string, at::Tensor> seen;
  ForwardContext watched;
  watched.probe = [&](const std::string& name, const at::Tensor& value) { seen[name] = value; };
  RightHalf predictor(1, kFrames);
  Memory memory = memory_of(1, kFrames);
  decoder->forward(memory, predictor, watched);
  EXPECT_EQ(seen.at("decoder.blocked.0").sizes(), (at::IntArrayRef{1, 1, kQueries, kFrames * 6}));
  EXPECT_EQ(seen.at("decoder.blocked.1").sizes(), (at::IntArrayRef{1, 1, kQueries, kFrames * 24}));
  EXPECT_EQ(seen.at("decoder.blocked.2").sizes(), (at::IntArrayRef{1, 1, kQueries, kFrames * 6}));
  const at::Tensor fine = seen.at("decoder.blocked.1")[0][0].view({kQueries, kFrames, 4, 6});
  EXPECT_TRUE(fine[0].all().item<bool>());
  EXPECT_TRUE(fine[1].narrow(2, 0, 3).all().item<bool>());
  EXPECT_FALSE(fine[1].narrow(2, 3, 3).any().item<bool>());

  // Cell 0 of the coarse level is on the left. Without self-attention only query 0, whose mask is
  // empty, can have seen it after layer 0.
  {
    torch::NoGradGuard no_grad;
    for (auto& item : decoder->named_parameters())
      if (item.key().find("self_attn.out_proj") != std::string::npos) item.value().zero_();
  }
  const at::Tensor plain = decoder->forward(memory, predictor, {}).layers[1].clip;
  memory.tokens = memory.tokens.clone();
  memory.tokens.select(2, 0).add_(3.0);
  const at::Tensor changed = decoder->forward(memory, predictor, {}).layers[1].clip;
  EXPECT_FALSE(at::allclose(plain[0][0], changed[0][0], 1e-4, 1e-5));
  EXPECT_TRUE(at::equal(plain[0][1], changed[0][1]));
}

TEST(MaskedTransformer, AnyClipLengthAndAWidthOfItsOwn) {
  auto decoder = make_plugin<Decoder>("masked_transformer",
                                      kSmall + "dim = 8\nposition = { kind = \"2d\" }", context());
  for (const int64_t frames : {1, 5}) {
    RightHalf predictor(1, frames);
    const auto embeddings = decoder->forward(memory_of(1, frames), predictor, {});
    EXPECT_EQ(embeddings.layers.back().clip.sizes(), (at::IntArrayRef{1, kQueries, 8}));
  }
  EXPECT_TRUE(decoder->named_parameters().contains("input_proj.1.weight"));
}

TEST(MaskedTransformer, RefusesAttentionsThatDoNotFit) {
  EXPECT_THROW(
      make_plugin<Decoder>(
          "masked_transformer",
          "num_layers = 1\ncross_attention = { plugin = \"dense\", scope = \"frame\" }", context()),
      ConfigError);
  EXPECT_THROW(make_plugin<Decoder>(
                   "masked_transformer",
                   "num_layers = 1\nself_attention = { plugin = \"ms_deformable\" }", context()),
               ConfigError);
}

}  // namespace
}  // namespace tessera
