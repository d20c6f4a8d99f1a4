// Spatial decoder (IFC: Hwang et al. 2021, 3.2): fine features for mask embeddings from a token
// encoder's coarsest map and the backbone's finer levels, light enough to run on every frame: one
// 3x3 convolution a level, one depthwise separable 5x5 convolution last. Keys: tokens.*, lay1, gn1
// (of the memory); for the i-th finer level adapter<i>, lay<i+1>, gn<i+1>; out_lay.depthwise,
// out_lay.pointwise.

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include <algorithm>

#include "core/interfaces/encoder.h"
#include "core/plugin/plugin.h"

namespace tessera::encoder::spatial_decoder {

struct Options {
  PluginOf<Encoder> tokens{"inter_frame"};
  int64_t stride = 8;
  int64_t norm_groups = 32;

  static void describe(Schema<Options>& schema) {
    schema.field("tokens", &Options::tokens, "The encoder of the coarse level or levels.");
    schema
        .field("stride", &Options::stride,
               "Stride of the fine features: that of a backbone level, or of the memory's finest.")
        .at_least(1);
    schema
        .field("norm_groups", &Options::norm_groups,
               "Groups of the group norms after the 3x3 convolutions.")
        .at_least(1);
  }
};

/// `kernel` x `kernel`, the map's size kept; He-uniform start with a = 1 and no bias, as the
/// authors.
torch::nn::Conv2d convolution(int64_t in, int64_t out, int64_t kernel, int64_t groups = 1) {
  torch::nn::Conv2d conv(
      torch::nn::Conv2dOptions(in, out, kernel).padding(kernel / 2).groups(groups));
  torch::nn::init::kaiming_uniform_(conv->weight, 1.0);
  torch::nn::init::zeros_(conv->bias);
  return conv;
}

/// A 5x5 convolution of each channel by itself, then a 1x1 over channels, ReLU after both.
class Separable final : public torch::nn::Module {
 public:
  explicit Separable(int64_t channels)
      : depthwise_(register_module("depthwise", convolution(channels, channels, 5, channels))),
        pointwise_(register_module("pointwise", convolution(channels, channels, 1))) {}
  at::Tensor forward(const at::Tensor& x) {
    return pointwise_->forward(depthwise_->forward(x).relu()).relu();
  }

 private:
  torch::nn::Conv2d depthwise_, pointwise_;
};

class SpatialDecoder final : public Encoder {
 public:
  using Options = spatial_decoder::Options;

  SpatialDecoder(const Options& options, const BuildContext& context)
      : tokens_(register_module("tokens", context.make(options.tokens))) {
    spec_ = tokens_->spec();
    if (spec_.dim % options.norm_groups != 0)
      throw ConfigError("norm_groups: expected a divisor of the memory's width " +
                        std::to_string(spec_.dim) + ", got " + std::to_string(options.norm_groups) +
                        ".");
    spec_.pixel_channels = spec_.dim;
    spec_.pixel_stride = options.stride;
    const auto& strides = spec_.strides;
    finest_ =
        static_cast<size_t>(std::min_element(strides.begin(), strides.end()) - strides.begin());
    add_step(options.norm_groups);
    int64_t reached = strides[finest_];
    for (size_t l = context.pyramid.levels.size(); l-- > 0;) {
      const LevelSpec& level = context.pyramid.levels[l];
      if (level.stride >= strides[finest_] || level.stride < options.stride) continue;
      levels_.push_back(l);
      reached = level.stride;
      adapters_.push_back(register_module("adapter" + std::to_string(levels_.size()),
                                          convolution(level.channels, spec_.dim, 1)));
      add_step(options.norm_groups);
    }
    if (reached != options.stride)
      throw ConfigError("encoder.stride: expected the stride of the memory's finest level, " +
                        std::to_string(strides[finest_]) + ", or of a finer backbone level, got " +
                        std::to_string(options.stride) + ".");
    out_lay_ = register_module("out_lay", std::make_shared<Separable>(spec_.dim));
  }

  Memory forward(const FeaturePyramid& pyramid, const ForwardContext& context) override {
    Memory memory = tokens_->forward(pyramid, context);
    const std::vector<int64_t> clips{memory.tokens.size(0), memory.num_frames()};
    at::Tensor maps = memory.level_map(finest_).flatten(0, 1);  // [B*T,D,h,w]
    maps = norms_[0]->forward(convs_[0]->forward(maps));
    for (size_t i = 0; i < levels_.size(); ++i) {
      const at::Tensor fine =
          adapters_[i]->forward(pyramid.levels.at(levels_[i]).features.flatten(0, 1));
      maps = fine + at::upsample_nearest2d(maps, {fine.size(2), fine.size(3)});
      maps = norms_[i + 1]->forward(convs_[i + 1]->forward(maps));
    }
    memory.pixel_features = out_lay_->forward(maps.relu()).unflatten(0, clips);
    context.look("encoder.pixel_features", [&] { return memory.pixel_features; });
    return memory;
  }

  MemorySpec spec() const override { return spec_; }
  ClipNeeds needs() const override { return tokens_->needs(); }

 private:
  void add_step(int64_t groups) {
    const std::string number = std::to_string(convs_.size() + 1);
    convs_.push_back(register_module("lay" + number, convolution(spec_.dim, spec_.dim, 3)));
    norms_.push_back(register_module(
        "gn" + number, torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, spec_.dim))));
  }

  std::shared_ptr<Encoder> tokens_;
  MemorySpec spec_;
  size_t finest_ = 0;           // of the memory's levels
  std::vector<size_t> levels_;  // of the pyramid, coarsest first
  std::vector<torch::nn::Conv2d> adapters_, convs_;
  std::vector<torch::nn::GroupNorm> norms_;
  std::shared_ptr<Separable> out_lay_;
};

}  // namespace tessera::encoder::spatial_decoder

TESSERA_PLUGIN(Encoder, tessera::encoder::spatial_decoder::SpatialDecoder, "spatial_decoder",
               "A token encoder with light fine features for mask embeddings (IFC)")
