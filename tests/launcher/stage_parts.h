#pragma once
// Small parts for tests of models of several stages: a backbone with prefix tokens and a rotation,
// an encoder that passes them on, a decoder whose options state what it reads and gives.

#include <ATen/ATen.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include "core/interfaces/backbone.h"
#include "core/interfaces/decoder.h"
#include "core/interfaces/encoder.h"
#include "core/plugin/plugin.h"
#include "core/plugin/registry.h"

namespace tessera::stage_parts {

inline constexpr int64_t kDim = 16, kPixels = 8, kPrefix = 2, kQueries = 3;

class TokenBackbone final : public Backbone {
 public:
  struct Options {
    bool with_tokens = true;
    static void describe(Schema<Options>& schema) {
      schema.field("with_tokens", &Options::with_tokens, "Give prefix tokens and a rotation.");
    }
  };
  TokenBackbone(const Options& options, const BuildContext&);
  FeaturePyramid forward(const ClipBatch& batch, const ForwardContext& context) override;
  PyramidSpec spec() const override;
  /// Of more prefix tokens than it has, the first are taken.
  void adapt_weights(std::vector<std::pair<std::string, at::Tensor>>& tensors) const override;

 private:
  Options options_;
  torch::nn::Linear colours_;
  at::Tensor prefix_, angles_;
};

class TokenEncoder final : public Encoder {
 public:
  struct Options {
    bool passes_prefix = true;
    int64_t fixed_frames = 0;
    static void describe(Schema<Options>& schema) {
      schema.field("passes_prefix", &Options::passes_prefix, "Pass prefix tokens and rotation on.");
      schema.field("fixed_frames", &Options::fixed_frames, "-1: those that it is made for.");
    }
  };
  TokenEncoder(const Options& options, const BuildContext& context);
  Memory forward(const FeaturePyramid& pyramid, const ForwardContext& context) override;
  MemorySpec spec() const override { return {kDim, {8}, kPixels, 8}; }
  ClipNeeds needs() const override;
  bool passes_prefix() const override { return options_.passes_prefix; }

 private:
  Options options_;
  int64_t num_frames_;
  torch::nn::Linear project_, pixels_;
};

/// Two layers of embeddings per frame. With a state each frame adds to half of the frame before.
class TestDecoder final : public Decoder {
 public:
  struct Options {
    bool reads_prefix = false, reads_rotation = false, reads_raw = false, reads_identity = false;
    int64_t stages = 0;
    bool gives_raw = false, gives_pixels = false, keeps_state = false;
    int64_t piece_frames = 0, copies = 1;
    bool with_norm = false;       // a batch norm and a dropout
    bool predicts_twice = false;  // other embeddings under the same layer
    bool states_pixels = true;    // in spec()
    static void describe(Schema<Options>& schema);
  };
  TestDecoder(const Options& options, const BuildContext& context);
  DecoderOutput decode(const DecoderInput& input) override;
  QuerySpec spec() const override;
  StageReads reads() const override;

  /// What the part was told when it was made.
  const BuildContext& told() const { return told_; }

 private:
  Options options_;
  BuildContext told_;
  at::Tensor queries_, pixel_scale_;
  torch::nn::Linear project_, mix_;
  torch::nn::BatchNorm1d norm_{nullptr};
  torch::nn::Dropout dropout_{nullptr};
};

/// Adds token_backbone, token_encoder and test_decoder to a registry.
void add_all(Registry& registry);

}  // namespace tessera::stage_parts
