#pragma once
// Small parts that need from the contracts what the five systems need; no system's own code.

#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include "core/interfaces/auxiliary.h"
#include "core/interfaces/backbone.h"
#include "core/interfaces/decoder.h"
#include "core/interfaces/encoder.h"
#include "core/interfaces/instance_head.h"
#include "core/interfaces/mask_head.h"
#include "core/interfaces/matcher.h"
#include "core/plugin/plugin.h"
#include "core/plugin/registry.h"

namespace tessera::mock {

/// An Options struct for parts that have none.
template <int Tag>
struct NoOptions {
  static void describe(Schema<NoOptions>&) {}
};

/// Four levels by average pooling and a 1x1 convolution each.
class PooledPyramid final : public Backbone {
 public:
  using Options = NoOptions<0>;
  PooledPyramid(const Options&, const BuildContext&);
  FeaturePyramid forward(const ClipBatch& batch, const ForwardContext& context) override;
  PyramidSpec spec() const override { return {{{8, 4}, {12, 8}, {16, 16}, {24, 32}}}; }

 private:
  std::vector<torch::nn::Conv2d> convs_;
};

/// Multi-level, frame by frame, (x, y) or box references, any number of output projections: what
/// ms_deformable needs. Adds the level mean, shifted by the reference, to nothing.
class MultiScale final : public Attention {
 public:
  struct Options {
    int64_t reference_dim = 2;
    static void describe(Schema<Options>& schema) {
      schema.field("reference_dim", &Options::reference_dim, "Width of references.").one_of({2, 4});
    }
  };
  MultiScale(const Options&, const BuildContext&);
  AttentionTraits traits() const override;
  AttentionOutput forward(const AttentionInput& input, const ForwardContext& context) override;

 private:
  Options options_;
  std::vector<torch::nn::Linear> outputs_;
};

/// Works among the memory's own tokens only, scale by scale: what MS-STS split attention needs.
class SplitScales final : public Attention {
 public:
  using Options = NoOptions<1>;
  SplitScales(const Options&, const BuildContext&);
  AttentionTraits traits() const override;
  AttentionOutput forward(const AttentionInput& input, const ForwardContext& context) override;

 private:
  torch::nn::Linear mix_;
};

/// Instance queries and per-frame box queries; boxes of the layer before become the references;
/// two output projections of one cross-attention; temporal attention: SeqFormer and MS-STS.
class BoxDecoder final : public Decoder {
 public:
  struct Options {
    PluginOf<Attention> cross_attention{"mock_multi_scale"};
    PluginOf<Attention> temporal_attention{"dense"};
    static void describe(Schema<Options>& schema) {
      schema.field("cross_attention", &Options::cross_attention, "Per-frame cross-attention.");
      schema.field("temporal_attention", &Options::temporal_attention,
                   "Over the box queries of all frames.");
    }
  };
  BoxDecoder(const Options& options, const BuildContext& context);
  InstanceEmbeddings forward(const Memory& memory, InstancePredictor& predictor,
                             const ForwardContext&) override;
  QuerySpec spec() const override { return {4, dim_, 2, true}; }

 private:
  int64_t dim_;
  at::Tensor queries_;
  torch::nn::Linear frame_weight_{nullptr};
  std::vector<std::shared_ptr<Attention>> cross_, temporal_;
};

/// Masks as dot products with pixel features, and at points without whole maps; counts its rows, so
/// that a test sees who asked for how much. With a box prior it needs the layer's boxes.
class DotProductMasks final : public MaskHead {
 public:
  struct Options {
    bool box_prior = false;
    static void describe(Schema<Options>& schema) {
      schema.field("box_prior", &Options::box_prior, "Add a bowl around the predicted box.");
    }
  };
  DotProductMasks(const Options& options, const BuildContext& context);
  std::shared_ptr<const PreparedMasks> prepare(const FeaturePyramid& pyramid, const Memory& memory,
                                               const ForwardContext& context) override;
  bool wants_boxes() const override { return options_.box_prior; }

  std::shared_ptr<int64_t> rows_computed = std::make_shared<int64_t>(0);

 private:
  Options options_;
  torch::nn::Linear embed_;
  torch::nn::Conv2d pixels_{nullptr};
};

/// A discriminator in small: real masks against predicted ones, with the encoder's features.
class TinyDiscriminator final : public Auxiliary {
 public:
  using Options = NoOptions<3>;
  TinyDiscriminator(const Options&, const BuildContext& context);
  std::vector<NamedLoss> model_losses(const AuxiliaryInput& input, const ForwardContext&) override;
  std::vector<NamedLoss> own_losses(const AuxiliaryInput& input, const ForwardContext&) override;

 private:
  at::Tensor judge(const AuxiliaryInput& input, const at::Tensor& masks, bool frozen);
  torch::nn::Linear score_;
};

/// Adds every mock to a registry, under mock_<name>.
void add_all(Registry& registry);

}  // namespace tessera::mock
