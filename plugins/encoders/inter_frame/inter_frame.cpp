// Inter-frame communication (IFC: Hwang et al. 2021, 3.1): every frame has M memory tokens beside
// its cells. A layer lets each frame attend by itself, cells and memory tokens together. Then token
// m of every frame attends to token m of all frames, and to no other token: information passes
// between frames through M separate sequences of T tokens, not through all cells. The memory tokens
// follow the cells in the memory's tokens, so that a decoder with dense attention reads both. Keys:
// input_proj, memory_bus, memory_pos,
// enc_layers.<i> and bus_layers.<i> (self_attn, linear1, linear2, norm1, norm2), out_norm,
// bus_norm.

#include <ATen/ATen.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include <cmath>

#include "core/interfaces/attention.h"
#include "core/interfaces/encoder.h"
#include "core/nn/dropout.h"
#include "core/nn/feed_forward.h"
#include "core/nn/position_encoding.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::encoder::inter_frame {

struct Options {
  int64_t dim = 256;
  int64_t num_layers = 3;
  int64_t num_memory_tokens = 8;
  int64_t feed_forward_dim = 2048;
  PluginOf<Attention> frame_attention{"dense"};
  PluginOf<Attention> memory_attention{"dense"};
  int64_t feature_level = -1;
  double dropout = 0.1;
  bool pre_norm = false;
  std::string activation = "relu";
  PositionOptions position{.kind = "2d"};

  static void describe(Schema<Options>& schema) {
    schema.field("dim", &Options::dim, "Width D of the tokens.").at_least(1);
    schema
        .field("num_layers", &Options::num_layers,
               "Encoder layers, each a layer within frames and a layer between frames.")
        .at_least(0);
    schema
        .field("num_memory_tokens", &Options::num_memory_tokens,
               "Memory tokens M of every frame; 0: nothing passes between frames.")
        .at_least(0);
    schema.field("feed_forward_dim", &Options::feed_forward_dim, "Hidden width of a layer's FFN.")
        .at_least(1);
    schema.field("frame_attention", &Options::frame_attention,
                 "Attention among the cells and memory tokens of one frame.");
    schema.field("memory_attention", &Options::memory_attention,
                 "Attention over time, of each memory token by itself.");
    schema.field("feature_level", &Options::feature_level,
                 "Level of the pyramid to read, 0 the finest, -1 the coarsest.");
    schema.field("dropout", &Options::dropout, "Dropout probability.").between(0, 1);
    schema.field("pre_norm", &Options::pre_norm,
                 "Normalise before each sub-layer instead of after.");
    schema.field("activation", &Options::activation, "Activation of the FFN.")
        .one_of({"relu", "gelu"});
    schema.field("position", &Options::position, "Position encoding of the cells.");
  }
};

/// Attention among the tokens of a sequence, then a feed-forward network.
class Layer final : public torch::nn::Module {
 public:
  Layer(const Options& options, const PluginOf<Attention>& attention, const std::string& field,
        const BuildContext& context)
      : options_(options),
        attention_(register_module("self_attn", context.make(attention))),
        linear1_(
            register_module("linear1", torch::nn::Linear(options.dim, options.feed_forward_dim))),
        linear2_(
            register_module("linear2", torch::nn::Linear(options.feed_forward_dim, options.dim))),
        norm1_(register_module("norm1",
                               torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.dim})))),
        norm2_(register_module("norm2",
                               torch::nn::LayerNorm(torch::nn::LayerNormOptions({options.dim})))) {
    if (const int64_t width = attention_->traits().reference_dim; width > 0)
      throw ConfigError("encoder." + field +
                        ": expected an attention without reference points, since a memory token "
                        "has no place in the frame, got one that reads " +
                        std::to_string(width) + "-d points. Use dense.");
    xavier_reset(linear1_);
    xavier_reset(linear2_);
  }

  /// in: x [N,L,D]; position [N,L,D] and padding [N,L] (true = padded), each may be undefined.
  /// `name` is the attention's, for whoever records it.
  at::Tensor forward(at::Tensor x, const at::Tensor& position, const at::Tensor& padding,
                     const std::string& name, const ForwardContext& context) {
    const bool pre = options_.pre_norm;
    const at::Tensor attended =
        attention(pre ? norm1_->forward(x) : x, position, padding, name, context);
    x = x + drop(attended);
    if (!pre) x = norm1_->forward(x);
    const at::Tensor inner = pre ? norm2_->forward(x) : x;
    const at::Tensor hidden = activated_linear(linear1_, inner, options_.activation,
                                               is_training() ? options_.dropout : 0.0);
    x = x + drop(linear2_->forward(hidden));
    return pre ? x : norm2_->forward(x);
  }

 private:
  /// A sequence is a clip of one frame to the attention, whatever its scope.
  at::Tensor attention(const at::Tensor& x, const at::Tensor& position, const at::Tensor& padding,
                       const std::string& name, const ForwardContext& context) {
    auto one_frame = [](const at::Tensor& t) { return t.defined() ? t.unsqueeze(1) : t; };
    Memory memory;
    memory.tokens = one_frame(x);
    memory.position = one_frame(position);
    memory.padding_mask = one_frame(padding);
    memory.levels = {{0, 1, x.size(1), 1}};
    const AttentionInput input{memory.tokens, memory.position, {}, memory, {}};
    return attend(*attention_, input, context, name).values.at(0).squeeze(1);
  }
  at::Tensor drop(const at::Tensor& x) { return with_dropout(x, options_.dropout, is_training()); }

  Options options_;
  std::shared_ptr<Attention> attention_;
  torch::nn::Linear linear1_, linear2_;
  torch::nn::LayerNorm norm1_, norm2_;
};

class InterFrame final : public Encoder {
 public:
  using Options = inter_frame::Options;

  InterFrame(const Options& options, const BuildContext& context) : options_(options) {
    const auto available = static_cast<int64_t>(context.pyramid.levels.size());
    level_ = options.feature_level < 0 ? available + options.feature_level : options.feature_level;
    if (level_ < 0 || level_ >= available)
      throw ConfigError("encoder.feature_level: expected a level of the backbone's " +
                        std::to_string(available) + ", got " +
                        std::to_string(options.feature_level) + ".");
    const LevelSpec& level = context.pyramid.levels[static_cast<size_t>(level_)];
    spec_.dim = options.dim;
    spec_.strides = {level.stride};
    input_proj_ = register_module(
        "input_proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(level.channels, options.dim, 1)));
    AttentionSpec attention;
    attention.dim = options.dim;
    attention.strides = {1};
    attention.memory_to_memory = true;
    attention.dropout = options.dropout;
    const BuildContext child = context.with(attention);
    const bool communicates = options.num_memory_tokens > 0;
    for (int64_t i = 0; i < options.num_layers; ++i) {
      frame_layers_.push_back(
          std::make_shared<Layer>(options, options.frame_attention, "frame_attention", child));
      frame_list_->push_back(frame_layers_.back());
      if (!communicates) continue;
      memory_layers_.push_back(
          std::make_shared<Layer>(options, options.memory_attention, "memory_attention", child));
      memory_list_->push_back(memory_layers_.back());
    }
    register_module("enc_layers", frame_list_);
    if (options.pre_norm) out_norm_ = register_module("out_norm", norm(options.dim));
    if (!communicates) return;
    register_module("bus_layers", memory_list_);
    if (options.pre_norm) bus_norm_ = register_module("bus_norm", norm(options.dim));
    // He's deviation over the tokens, as the authors start them.
    const double deviation = std::sqrt(2.0 / static_cast<double>(options.num_memory_tokens));
    const std::vector<int64_t> shape{options.num_memory_tokens, options.dim};
    memory_bus_ = register_parameter("memory_bus", at::randn(shape) * deviation);
    memory_pos_ = register_parameter("memory_pos", at::randn(shape) * deviation);
  }

  Memory forward(const FeaturePyramid& pyramid, const ForwardContext& context) override {
    const FeatureLevel& level = pyramid.levels.at(static_cast<size_t>(level_));
    const int64_t clips = level.features.size(0), frames = level.features.size(1);
    const at::Tensor map = input_proj_->forward(level.features.flatten(0, 1));  // [B*T,D,h,w]
    const int64_t height = map.size(2), width = map.size(3);
    context.look("encoder.input_proj.0", [&] { return map.unflatten(0, {clips, frames}); });
    const int64_t cells = height * width, tokens = options_.num_memory_tokens;

    const at::Tensor padded = padded_cells(pyramid, level);            // [B,T,h,w]
    const at::Tensor position = positions(padded, map.scalar_type());  // [B*T,S+M,D]
    // An unpadded batch lets attention take its fast path without a mask.
    at::Tensor padding;  // [B*T,S+M]
    if (padded.any().item<bool>())
      padding = at::constant_pad_nd(padded.flatten(0, 1).flatten(1), {0, tokens});

    at::Tensor x = map.flatten(2).transpose(1, 2);  // [B*T,S+M,D]
    if (tokens > 0) x = at::cat({x, memory_bus_.expand({clips * frames, -1, -1})}, 1);
    for (size_t i = 0; i < frame_layers_.size(); ++i) {
      const std::string index = std::to_string(i);
      x = frame_layers_[i]->forward(x, position, padding,
                                    "encoder.enc_layers." + index + ".self_attn", context);
      if (tokens > 0) {
        // [B*T,M,D] -> [B*M,T,D]: each token's frames are a sequence of their own, without
        // positions.
        const at::Tensor before =
            x.narrow(1, cells, tokens).unflatten(0, {clips, frames}).transpose(1, 2).flatten(0, 1);
        const at::Tensor after =
            memory_layers_[i]
                ->forward(before, {}, {}, "encoder.bus_layers." + index + ".self_attn", context)
                .unflatten(0, {clips, tokens})
                .transpose(1, 2);  // [B,T,M,D]
        context.look("encoder.memory_tokens." + index, [&] { return after; });
        x = at::cat({x.narrow(1, 0, cells), after.flatten(0, 1)}, 1);
      }
      context.look("encoder." + std::to_string(i), [&] { return x.unflatten(0, {clips, frames}); });
    }
    if (out_norm_ && tokens == 0) x = out_norm_->forward(x);
    if (out_norm_ && tokens > 0)
      x = at::cat({out_norm_->forward(x.narrow(1, 0, cells)),
                   bus_norm_->forward(x.narrow(1, cells, tokens))},
                  1);

    Memory memory;
    auto per_frame = [&](const at::Tensor& t) {
      return t.defined() ? t.unflatten(0, {clips, frames}) : t;
    };
    memory.tokens = per_frame(x);
    memory.position = per_frame(position);
    memory.padding_mask = per_frame(padding);
    memory.levels = {{0, height, width, spec_.strides[0]}};
    const at::Tensor kept = padded.logical_not().to(map.scalar_type());
    memory.valid_ratio = at::stack({kept.select(2, 0).sum(-1) / static_cast<double>(width),
                                    kept.select(3, 0).sum(-1) / static_cast<double>(height)},
                                   -1)
                             .unsqueeze(2);  // [B,T,1,2]
    context.look("encoder.memory", [&] { return memory.tokens; });
    context.look("encoder.cells", [&] { return memory.level_map(0); });
    return memory;
  }

  MemorySpec spec() const override { return spec_; }

 private:
  /// A cell is padded where the first of its `stride` pixels is, as in the authors' code. The
  /// level's own mask takes the nearest pixel, which differs where the stride does not divide the
  /// frame's side. out: [B,T,h,w] bool.
  static at::Tensor padded_cells(const FeaturePyramid& pyramid, const FeatureLevel& level) {
    if (!pyramid.padding_mask.defined()) return level.padding_mask;  // made by hand
    const at::Tensor first = pyramid.padding_mask.slice(2, 0, std::nullopt, level.stride)
                                 .slice(3, 0, std::nullopt, level.stride);
    if (first.sizes() != level.padding_mask.sizes())
      throw ShapeError("encoder: expected a level of stride " + std::to_string(level.stride) +
                       " with cells " + shape_text(first.sizes()) + ", got " +
                       shape_text(level.padding_mask.sizes()) + ".");
    return first;
  }
  static torch::nn::LayerNorm norm(int64_t dim) {
    return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}));
  }
  /// Of the cells, then of the memory tokens, the same in every frame; undefined where neither has
  /// one. in: padding [B,T,h,w]. out: [B*T,S+M,D].
  at::Tensor positions(const at::Tensor& padding, at::ScalarType type) const {
    const int64_t sequences = padding.size(0) * padding.size(1);
    at::Tensor cells = position_encoding(padding, options_.dim, options_.position, type);
    if (cells.defined()) cells = cells.flatten(0, 1).flatten(1, 2);
    if (options_.num_memory_tokens == 0) return cells;
    if (!cells.defined())
      cells = at::zeros({sequences, padding.size(2) * padding.size(3), options_.dim},
                        memory_pos_.options());
    return at::cat({cells, memory_pos_.expand({sequences, -1, -1})}, 1);
  }

  Options options_;
  int64_t level_ = 0;
  MemorySpec spec_;
  torch::nn::Conv2d input_proj_{nullptr};
  at::Tensor memory_bus_, memory_pos_;  // [M,D]
  torch::nn::ModuleList frame_list_, memory_list_;
  std::vector<std::shared_ptr<Layer>> frame_layers_, memory_layers_;
  torch::nn::LayerNorm out_norm_{nullptr}, bus_norm_{nullptr};
};

}  // namespace tessera::encoder::inter_frame

TESSERA_PLUGIN(Encoder, tessera::encoder::inter_frame::InterFrame, "inter_frame",
               "Frames that attend by themselves and communicate through memory tokens (IFC)")
