// Transformer encoder (Vaswani et al. 2017; DETR's layout) over one or more feature levels.
// Each layer adds the outputs of a LIST of attentions, all on the same input. Keys: input_proj (of
// several levels: input_proj_<i>; with norms: .0 the convolution, .1 the norm; extra levels follow
// those of the pyramid), level_embed,
// layers.<i>.self_attn (a second attention: self_attn_1), linear1, linear2, norm1, norm2, norm.

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include "core/interfaces/attention.h"
#include "core/interfaces/backbone.h"
#include "core/interfaces/encoder.h"
#include "core/nn/dropout.h"
#include "core/nn/feed_forward.h"
#include "core/nn/linear.h"
#include "core/nn/position_encoding.h"
#include "core/nn/precision.h"
#include "core/nn/recompute.h"
#include "core/plugin/plugin.h"

namespace tessera::encoder::transformer {

struct Options {
  int64_t dim = 384;
  int64_t num_layers = 6;
  int64_t feed_forward_dim = 2048;
  std::vector<PluginOf<Attention>> attention = {"dense"};
  std::vector<int64_t> feature_levels = {-1};
  int64_t extra_levels = 0;
  int64_t projection_norm_groups = 0;
  bool level_embedding = false;
  bool use_padding_mask = true;
  double dropout = 0.1;
  bool pre_norm = false;
  std::string activation = "relu";
  PositionOptions position;

  static void describe(Schema<Options>& schema) {
    schema.field("dim", &Options::dim, "Width D of the tokens.").at_least(1);
    schema.field("num_layers", &Options::num_layers, "Encoder layers.").at_least(0);
    schema.field("feed_forward_dim", &Options::feed_forward_dim, "Hidden width of a layer's FFN.")
        .at_least(1);
    schema.field("attention", &Options::attention,
                 "One attention, or a list whose outputs a layer adds.");
    schema.field(
        "feature_levels", &Options::feature_levels,
        "Levels of the pyramid to read, 0 the finest, -1 the coarsest, in the memory's order.");
    schema
        .field("extra_levels", &Options::extra_levels,
               "Coarser levels after those, each a 3x3 convolution of stride 2: the first of the "
               "last of feature_levels as the backbone gives it, the next of the level before "
               "(Deformable DETR).")
        .at_least(0);
    schema
        .field("projection_norm_groups", &Options::projection_norm_groups,
               "Groups of a group norm after the projection of each level; 0: no norm.")
        .at_least(0);
    schema.field("level_embedding", &Options::level_embedding,
                 "Add a learnt vector of the level to the positions of its cells.");
    schema.field("use_padding_mask", &Options::use_padding_mask,
                 "Keep padded cells out of attention; false takes padding for black pixels, as "
                 "Mask2Former does.");
    schema.field("dropout", &Options::dropout, "Dropout probability.").between(0, 1);
    schema.field("pre_norm", &Options::pre_norm,
                 "Normalise before each sub-layer instead of after.");
    schema.field("activation", &Options::activation, "Activation of the FFN.")
        .one_of({"relu", "gelu"});
    schema.field("position", &Options::position, "Position encoding of the tokens.");
    schema.validate([](const Options& o) {
      if (o.feature_levels.empty())
        throw ConfigError("feature_levels: expected at least one level, got none.");
      if (o.attention.empty()) throw ConfigError("attention: expected at least one, got none.");
      if (o.projection_norm_groups > 0 && o.dim % o.projection_norm_groups != 0)
        throw ConfigError(
            "projection_norm_groups: expected a divisor of dim = " + std::to_string(o.dim) +
            ", got " + std::to_string(o.projection_norm_groups) + ".");
    });
  }
};

class Layer final : public torch::nn::Module {
 public:
  Layer(const Options& options, const BuildContext& context)
      : options_(options),
        linear1_(
            register_module("linear1", torch::nn::Linear(options.dim, options.feed_forward_dim))),
        linear2_(
            register_module("linear2", torch::nn::Linear(options.feed_forward_dim, options.dim))),
        norm1_(register_module("norm1",
                               torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.dim})))),
        norm2_(register_module("norm2",
                               torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.dim})))) {
    xavier_reset(linear1_);
    xavier_reset(linear2_);
    for (size_t i = 0; i < options.attention.size(); ++i) {
      attentions_.push_back(context.make(options.attention[i]));
      register_module(i == 0 ? "self_attn" : "self_attn_" + std::to_string(i), attentions_.back());
    }
  }

  const std::vector<std::shared_ptr<Attention>>& attentions() const { return attentions_; }

  /// `memory.tokens` goes in and out; references by their width, see Transformer::references.
  void forward(Memory& memory, const std::map<int64_t, at::Tensor>& references,
               const ForwardContext& context) {
    at::Tensor x = memory.tokens;
    if (options_.pre_norm) memory.tokens = norm1_->forward(x);
    x = x + drop(attend(memory, references, context));
    if (!options_.pre_norm) x = norm1_->forward(x);
    const at::Tensor inner = options_.pre_norm ? norm2_->forward(x) : x;
    const at::Tensor hidden = activated_linear(linear1_, inner, options_.activation,
                                               is_training() ? options_.dropout : 0.0);
    x = x + drop(linear(linear2_, hidden));
    memory.tokens = options_.pre_norm ? x : norm2_->forward(x);
  }

 private:
  at::Tensor attend(const Memory& memory, const std::map<int64_t, at::Tensor>& references,
                    const ForwardContext& context) {
    at::Tensor sum;
    for (auto& attention : attentions_) {
      const AttentionTraits traits = attention->traits();
      // [B,T,S,..] -> [B,1,T*S,..] where all frames attend together.
      auto scoped = [&](const at::Tensor& x) {
        return traits.scope == AttentionTraits::Scope::clip && x.defined()
                   ? x.flatten(1, 2).unsqueeze(1)
                   : x;
      };
      const AttentionInput input{
          scoped(memory.tokens), scoped(memory.position),
          traits.reference_dim > 0 ? scoped(references.at(traits.reference_dim)) : at::Tensor(),
          memory, at::Tensor()};
      const at::Tensor value =
          attention->forward(input, context).values.at(0).reshape(memory.tokens.sizes());
      sum = sum.defined() ? sum + value : value;
    }
    return sum;
  }
  at::Tensor drop(const at::Tensor& x) { return with_dropout(x, options_.dropout, is_training()); }

  Options options_;
  torch::nn::Linear linear1_, linear2_;
  torch::nn::LayerNorm norm1_, norm2_;
  std::vector<std::shared_ptr<Attention>> attentions_;
};

/// A level's convolution to the tokens' width, with an optional group norm: 1x1, or 3x3 with stride
/// 2 for an extra level.
class Projection final : public torch::nn::Module {
 public:
  Projection(int64_t in, bool is_extra, const Options& options) {
    auto conv = torch::nn::Conv2dOptions(in, options.dim, is_extra ? 3 : 1);
    if (is_extra) conv.stride(2).padding(1);
    conv_ = torch::nn::Conv2d(conv);
    if (options.projection_norm_groups == 0) return;
    torch::nn::init::xavier_uniform_(conv_->weight);
    torch::nn::init::zeros_(conv_->bias);
    norm_ = torch::nn::GroupNorm(
        torch::nn::GroupNormOptions(options.projection_norm_groups, options.dim));
    register_module("0", conv_);
    register_module("1", norm_);
  }
  /// What stands under the projection's name: the convolution alone where there is no norm.
  std::shared_ptr<torch::nn::Module> registered() {
    return norm_ ? shared_from_this() : conv_.ptr();
  }
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor y = conv_->forward(x);
    return norm_ ? norm_->forward(y) : y;
  }

 private:
  torch::nn::Conv2d conv_{nullptr};
  torch::nn::GroupNorm norm_{nullptr};
};

class Transformer final : public Encoder {
 public:
  using Options = transformer::Options;

  Transformer(const Options& options, const BuildContext& context) : options_(options) {
    const int64_t available = static_cast<int64_t>(context.pyramid.levels.size());
    for (const int64_t wanted : options.feature_levels) {
      const int64_t index = wanted < 0 ? available + wanted : wanted;
      if (index < 0 || index >= available)
        throw ConfigError("encoder.feature_levels: expected a level of the backbone's " +
                          std::to_string(available) + ", got " + std::to_string(wanted) + ".");
      const LevelSpec& level = context.pyramid.levels[index];
      level_indices_.push_back(index);
      add_level(level.stride, level.channels, /*is_extra=*/false);
    }
    for (int64_t i = 0; i < options.extra_levels; ++i)
      add_level(2 * spec_.strides.back(),
                i == 0 ? context.pyramid.levels[level_indices_.back()].channels : options.dim,
                /*is_extra=*/true);
    if (options.level_embedding)
      level_embed_ = register_parameter(
          "level_embed", at::randn({static_cast<int64_t>(input_proj_.size()), options.dim}));
    spec_.dim = options.dim;
    AttentionSpec attention;
    attention.dim = options.dim;
    attention.strides = spec_.strides;
    attention.memory_to_memory = true;
    attention.dropout = options.dropout;
    const BuildContext child = context.with(attention);
    for (int64_t i = 0; i < options.num_layers; ++i) {
      layers_.push_back(std::make_shared<Layer>(options, child));
      layer_list_->push_back(layers_.back());
    }
    register_module("layers", layer_list_);
    if (options.pre_norm)
      norm_ =
          register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.dim})));
  }

  Memory forward(const FeaturePyramid& pyramid, const ForwardContext& context) override {
    Memory memory;
    std::vector<at::Tensor> tokens, masks, positions, ratios;
    at::Tensor map;  // [B*T,D,h,w]
    for (size_t i = 0; i < input_proj_.size(); ++i) {
      const bool is_extra = i >= level_indices_.size();
      const FeatureLevel& level =
          pyramid.levels.at(is_extra ? level_indices_.back() : level_indices_[i]);
      const int64_t clips = level.features.size(0), frames = level.features.size(1);
      map = input_proj_[i]->forward(i > level_indices_.size() ? map : level.features.flatten(0, 1));
      const int64_t height = map.size(2), width = map.size(3);
      context.look("encoder.input_proj." + std::to_string(i), [&] {
        return map.unflatten(0, {clips, frames});
      });
      memory.levels.push_back({memory.levels.empty()
                                   ? 0
                                   : memory.levels.back().offset +
                                         memory.levels.back().height * memory.levels.back().width,
                               height, width, spec_.strides[i]});
      // The sum that every layer adds to is float32 under autocast, too.
      tokens.push_back(
          to_full_precision(map).flatten(2).transpose(1, 2).unflatten(0, {clips, frames}));
      at::Tensor padding =
          is_extra ? extra_padding(pyramid, height, width) : level.padding_mask;  // [B,T,h,w]
      if (!options_.use_padding_mask) padding = at::zeros_like(padding);
      masks.push_back(padding.flatten(2));
      at::Tensor position =
          position_encoding(padding, options_.dim, options_.position, map.scalar_type());
      if (level_embed_.defined()) {
        const at::Tensor vector = level_embed_[static_cast<int64_t>(i)];
        position = position.defined() ? position + vector
                                      : vector.expand({clips, frames, height, width, options_.dim});
      }
      if (position.defined()) {
        context.look("encoder.position." + std::to_string(i), [&] {
          return position.permute({0, 1, 4, 2, 3});
        });
        positions.push_back(position.flatten(2, 3));
      }
      const at::Tensor kept = padding.logical_not().to(tokens.back().scalar_type());
      ratios.push_back(at::stack({kept.select(2, 0).sum(-1) / static_cast<double>(width),
                                  kept.select(3, 0).sum(-1) / static_cast<double>(height)},
                                 -1));  // [B,T,2]
    }
    memory.tokens = at::cat(tokens, 2);
    memory.valid_ratio = at::stack(ratios, 2);
    if (!positions.empty()) memory.position = at::cat(positions, 2);
    const at::Tensor padding = at::cat(masks, 2);
    // An unpadded batch lets attention take its fast path without a mask.
    if (padding.any().item<bool>()) memory.padding_mask = padding;

    const auto references = make_references(memory);
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (context.recompute)
        recompute_layer(layers_[i], memory, references, context);
      else
        layers_[i]->forward(memory, references, context);
      context.look("encoder." + std::to_string(i), [&] { return memory.tokens; });
    }
    if (norm_) memory.tokens = norm_->forward(memory.tokens);
    context.look("encoder.memory", [&] { return memory.tokens; });
    return memory;
  }

  bool recomputes_segments() const override { return true; }

  MemorySpec spec() const override { return spec_; }
  ClipNeeds needs() const override {
    ClipNeeds needs;
    for (const auto& layer : layers_)
      for (const auto& attention : layer->attentions())
        needs.fixed_frames = std::max(needs.fixed_frames, attention->traits().fixed_frames);
    return needs;
  }

 private:
  void add_level(int64_t stride, int64_t channels, bool is_extra) {
    spec_.strides.push_back(stride);
    input_proj_.push_back(std::make_shared<Projection>(channels, is_extra, options_));
    const bool alone = options_.feature_levels.size() == 1 && options_.extra_levels == 0;
    register_module(alone ? "input_proj" : "input_proj_" + std::to_string(input_proj_.size() - 1),
                    input_proj_.back()->registered());
  }
  static void recompute_layer(const std::shared_ptr<Layer>& layer, Memory& memory,
                              const std::map<int64_t, at::Tensor>& references,
                              const ForwardContext& context) {
    std::vector<at::Tensor> inputs{memory.tokens};
    if (memory.position.defined()) inputs.push_back(memory.position);  // it may have learnt parts
    Memory rest = memory;
    rest.tokens = rest.position = at::Tensor();
    const TensorFunction run = [layer, rest, references, again = context.unobserved()](
                                   const std::vector<at::Tensor>& given) {
      Memory same = rest;
      same.tokens = given.at(0);
      if (given.size() > 1) same.position = given[1];
      layer->forward(same, references, again);
      return std::vector<at::Tensor>{same.tokens};
    };
    memory.tokens = recompute(run, inputs, layer->parameters(), layer->buffers()).at(0);
  }
  static at::Tensor extra_padding(const FeaturePyramid& pyramid, int64_t height, int64_t width) {
    if (!pyramid.padding_mask.defined())
      throw RuntimeError(
          "encoder.extra_levels: expected a pyramid with the frames' padding mask, got none.");
    return resize_padding_mask(pyramid.padding_mask, height, width);
  }

  /// A token's reference is its own cell centre, as a part of the unpadded volume: [B,T,S,2] (x,y)
  /// and [B,T,S,3] (x,y,t), keyed by width; only those that some attention reads.
  std::map<int64_t, at::Tensor> make_references(const Memory& memory) const {
    std::map<int64_t, at::Tensor> references;
    for (const auto& layer : layers_)
      for (const auto& attention : layer->attentions())
        if (const int64_t width = attention->traits().reference_dim; width > 0)
          references.try_emplace(width);
    if (references.empty()) return references;
    const auto options = memory.tokens.options();
    const int64_t clips = memory.tokens.size(0), frames = memory.num_frames();
    std::vector<at::Tensor> levels;
    for (size_t l = 0; l < memory.levels.size(); ++l) {
      const MemoryLevel& level = memory.levels[l];
      const at::Tensor x =
          (at::arange(level.width, options) + 0.5) / static_cast<double>(level.width);
      const at::Tensor y =
          (at::arange(level.height, options) + 0.5) / static_cast<double>(level.height);
      const at::Tensor grid = at::stack({x.expand({level.height, level.width}),
                                         y.unsqueeze(1).expand({level.height, level.width})},
                                        -1)
                                  .flatten(0, 1);  // [S_l,2]
      levels.push_back(grid / memory.valid_ratio.select(2, static_cast<int64_t>(l)).unsqueeze(2));
    }
    const at::Tensor plane = at::cat(levels, 2);  // [B,T,S,2]
    for (auto& [width, reference] : references) {
      if (width == 2) {
        reference = plane;
      } else if (width == 3) {
        const at::Tensor t = (at::arange(frames, options) + 0.5) / static_cast<double>(frames);
        reference = at::cat(
            {plane, t.view({1, frames, 1, 1}).expand({clips, frames, plane.size(2), 1})}, -1);
      } else {
        throw ConfigError("encoder.attention: expected references of width 2 or 3, got " +
                          std::to_string(width) + ".");
      }
    }
    return references;
  }

  Options options_;
  std::vector<int64_t> level_indices_;
  MemorySpec spec_;
  std::vector<std::shared_ptr<Projection>> input_proj_;
  at::Tensor level_embed_;  // [L,D]
  torch::nn::ModuleList layer_list_;
  std::vector<std::shared_ptr<Layer>> layers_;
  torch::nn::LayerNorm norm_{nullptr};
};

}  // namespace tessera::encoder::transformer

TESSERA_PLUGIN(Encoder, tessera::encoder::transformer::Transformer, "transformer",
               "Transformer encoder over one or more feature levels, any list of attentions")
