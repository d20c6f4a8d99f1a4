// Pixel decoder (Mask2Former, Cheng et al. 2022): a token encoder over the coarse levels, then one
// step of a feature pyramid network for each finer level down to the pixels' stride; its last map,
// through a 1x1 convolution, is the fine feature map that mask embeddings are multiplied with.
// Keys: tokens.*, adapter_<i>, layer_<i> (each weight and norm), mask_features; adapter and layer
// count from 1 at the finest level, as the reference's.

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include <algorithm>
#include <numeric>

#include "core/interfaces/encoder.h"
#include "core/nn/memory_format.h"
#include "core/plugin/plugin.h"

namespace tessera::encoder::pixel_decoder {

struct Options {
  PluginOf<Encoder> tokens{"transformer"};
  int64_t stride = 4;
  std::optional<int64_t> channels;
  int64_t norm_groups = 32;
  int64_t size_divisor = 1;

  static void describe(Schema<Options>& schema) {
    schema.field("tokens", &Options::tokens, "The encoder of the coarse levels.");
    schema
        .field("stride", &Options::stride,
               "Stride of the fine features: that of a backbone level, or of the memory's finest.")
        .at_least(1);
    schema
        .field("channels", &Options::channels,
               "Channels of the fine features; by default the memory's width.")
        .at_least(1);
    schema
        .field("norm_groups", &Options::norm_groups,
               "Groups of the group norms after convolutions.")
        .at_least(1);
    schema
        .field("size_divisor", &Options::size_divisor,
               "Frames are padded to a multiple of it (the reference: 32).")
        .at_least(1);
  }
};

/// Convolution without bias, group norm, and for layers ReLU.
class NormedConv final : public torch::nn::Module {
 public:
  NormedConv(int64_t in, int64_t out, int64_t kernel, int64_t groups, bool activated)
      : kernel_(kernel), activated_(activated) {
    weight_ = register_parameter("weight", at::empty({out, in, kernel, kernel}));
    torch::nn::init::kaiming_uniform_(weight_, 1.0);
    norm_ = register_module("norm", torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, out)));
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor maps = kernel_ > 1 ? channels_last_on_cpu(x) : x;
    at::Tensor y = norm_->forward(at::conv2d(maps, weight_, {}, 1, kernel_ / 2));
    return activated_ ? y.relu_() : y;
  }

 private:
  int64_t kernel_;
  bool activated_;
  at::Tensor weight_;
  torch::nn::GroupNorm norm_{nullptr};
};

class PixelDecoder final : public Encoder {
 public:
  using Options = pixel_decoder::Options;

  PixelDecoder(const Options& options, const BuildContext& context)
      : options_(options), tokens_(register_module("tokens", context.make(options.tokens))) {
    spec_ = tokens_->spec();
    if (spec_.dim % options.norm_groups != 0)
      throw ConfigError("norm_groups: expected a divisor of the memory's width " +
                        std::to_string(spec_.dim) + ", got " + std::to_string(options.norm_groups) +
                        ".");
    spec_.pixel_channels = options.channels.value_or(spec_.dim);
    spec_.pixel_stride = options.stride;
    const auto& strides = spec_.strides;
    finest_ =
        static_cast<size_t>(std::min_element(strides.begin(), strides.end()) - strides.begin());
    for (size_t l = context.pyramid.levels.size(); l-- > 0;)
      if (const int64_t stride = context.pyramid.levels[l].stride;
          stride < strides[finest_] && stride >= options.stride)
        levels_.push_back(l);
    const int64_t reached =
        levels_.empty() ? strides[finest_] : context.pyramid.levels[levels_.back()].stride;
    if (reached != options.stride)
      throw ConfigError("encoder.stride: expected the stride of the memory's finest level, " +
                        std::to_string(strides[finest_]) + ", or of a finer backbone level, got " +
                        std::to_string(options.stride) + ".");
    for (size_t i = 0; i < levels_.size(); ++i) {
      const std::string index = std::to_string(levels_.size() - i);
      const int64_t in = context.pyramid.levels[levels_[i]].channels;
      adapters_.push_back(register_module(
          "adapter_" + index,
          std::make_shared<NormedConv>(in, spec_.dim, 1, options.norm_groups, false)));
      outputs_.push_back(register_module(
          "layer_" + index,
          std::make_shared<NormedConv>(spec_.dim, spec_.dim, 3, options.norm_groups, true)));
    }
    mask_features_ = register_module("mask_features", torch::nn::Conv2d(torch::nn::Conv2dOptions(
                                                          spec_.dim, spec_.pixel_channels, 1)));
    torch::nn::init::kaiming_uniform_(mask_features_->weight, 1.0);
    torch::nn::init::zeros_(mask_features_->bias);
  }

  Memory forward(const FeaturePyramid& pyramid, const ForwardContext& context) override {
    Memory memory = tokens_->forward(pyramid, context);
    const std::vector<int64_t> clips{memory.tokens.size(0), memory.num_frames()};
    at::Tensor maps = memory.level_map(finest_).flatten(0, 1);  // [B*T,D,h,w]
    for (size_t i = 0; i < levels_.size(); ++i) {
      const at::Tensor fine =
          adapters_[i]->forward(pyramid.levels.at(levels_[i]).features.flatten(0, 1));
      maps = outputs_[i]->forward(fine + at::upsample_bilinear2d(maps, {fine.size(2), fine.size(3)},
                                                                 /*align_corners=*/false));
    }
    memory.pixel_features = mask_features_->forward(maps).unflatten(0, clips);
    context.look("encoder.pixel_features", [&] { return memory.pixel_features; });
    return memory;
  }

  // The tokens' layers; the fine maps are kept.
  bool recomputes_segments() const override { return tokens_->recomputes_segments(); }
  MemorySpec spec() const override { return spec_; }
  ClipNeeds needs() const override {
    ClipNeeds needs = tokens_->needs();
    needs.size_divisor = std::lcm(needs.size_divisor, options_.size_divisor);
    return needs;
  }

 private:
  Options options_;
  std::shared_ptr<Encoder> tokens_;
  MemorySpec spec_;
  size_t finest_ = 0;           // of the memory's levels
  std::vector<size_t> levels_;  // of the pyramid, coarsest first
  std::vector<std::shared_ptr<NormedConv>> adapters_, outputs_;
  torch::nn::Conv2d mask_features_{nullptr};
};

}  // namespace tessera::encoder::pixel_decoder

TESSERA_PLUGIN(Encoder, tessera::encoder::pixel_decoder::PixelDecoder, "pixel_decoder",
               "A token encoder with fine features for mask embeddings (Mask2Former)")
