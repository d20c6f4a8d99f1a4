// Transformer decoder of Mask2Former (Cheng et al. 2022) over clips (Mask2Former-VIS, Cheng et al.
// 2021): layer i reads level i mod L of the memory, and of it only what the prediction before lies
// on; then self-attention, then FFN. Learnt query features are predicted from first, so L layers
// give L + 1 predictions. Keys as the reference's: input_proj.<level>, query_feat, query_embed,
// level_embed,
// transformer_cross_attention_layers.<i>.{multihead_attn, norm},
// transformer_self_attention_layers.<i>.{self_attn, norm}, transformer_ffn_layers.<i>.{linear1,
// linear2, norm}, decoder_norm.

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>
#include <cmath>

#include "core/interfaces/attention.h"
#include "core/interfaces/decoder.h"
#include "core/nn/dropout.h"
#include "core/nn/feed_forward.h"
#include "core/nn/position_encoding.h"
#include "core/plugin/plugin.h"

namespace tessera::decoder::masked_transformer {

struct Options {
  std::optional<int64_t> dim;
  bool input_projection = false;
  int64_t num_layers = 9;
  int64_t num_queries = 100;
  int64_t feed_forward_dim = 2048;
  PluginOf<Attention> self_attention{"dense"};
  PluginOf<Attention> cross_attention{"masked"};
  PositionOptions position;
  double mask_threshold = 0.5;
  double dropout = 0.0;
  bool pre_norm = false;
  std::string activation = "relu";

  Options() { position.kind = "3d_added"; }

  static void describe(Schema<Options>& schema) {
    schema.field("dim", &Options::dim, "Width D of the queries; by default the memory's.")
        .at_least(1);
    schema.field("input_projection", &Options::input_projection,
                 "Project each level of the memory to D even where it has this width already.");
    schema
        .field("num_layers", &Options::num_layers,
               "Decoder layers; one prediction more is made, from the learnt queries.")
        .at_least(0);
    schema.field("num_queries", &Options::num_queries, "Instances Q that a clip can hold.")
        .at_least(1);
    schema.field("feed_forward_dim", &Options::feed_forward_dim, "Hidden width of a layer's FFN.")
        .at_least(1);
    schema.field("self_attention", &Options::self_attention, "Attention among the queries.");
    schema.field("cross_attention", &Options::cross_attention,
                 "Attention from the queries to one level of the memory; it must heed what is "
                 "blocked.");
    schema.field("position", &Options::position,
                 "Position encoding of the memory's cells, added to the keys (MinVIS: 2d).");
    schema
        .field("mask_threshold", &Options::mask_threshold,
               "A cell is blocked where the mask before has a lower probability.")
        .more_than(0);
    schema.field("dropout", &Options::dropout, "Dropout probability.").between(0, 1);
    schema.field("pre_norm", &Options::pre_norm,
                 "Normalise before each sub-layer instead of after.");
    schema.field("activation", &Options::activation, "Activation of the FFN.")
        .one_of({"relu", "gelu"});
    schema.validate([](const Options& o) {
      if (o.mask_threshold >= 1)
        throw ConfigError("mask_threshold: expected less than 1, got " +
                          std::to_string(o.mask_threshold) + ".");
    });
  }
};

torch::nn::LayerNorm layer_norm(int64_t dim) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim}));
}

/// One sub-layer: some work on the queries, a shortcut around it, a norm.
class SubLayer : public torch::nn::Module {
 public:
  SubLayer(const Options& options, int64_t dim)
      : pre_norm_(options.pre_norm),
        dropout_(options.dropout),
        norm_(register_module("norm", layer_norm(dim))) {}

 protected:
  template <class Work>
  at::Tensor around(const at::Tensor& x, Work&& work) {
    if (pre_norm_) return x + drop(work(norm_->forward(x)));
    return norm_->forward(x + drop(work(x)));
  }
  double drop_probability() const { return is_training() ? dropout_ : 0.0; }

 private:
  at::Tensor drop(const at::Tensor& x) { return with_dropout(x, dropout_, is_training()); }

  bool pre_norm_;
  double dropout_;
  torch::nn::LayerNorm norm_;
};

class AttentionLayer final : public SubLayer {
 public:
  AttentionLayer(const Options& options, int64_t dim, const std::string& key,
                 std::shared_ptr<Attention> attention)
      : SubLayer(options, dim), attention_(register_module(key, std::move(attention))) {}

  /// in: x [B,1,Q,D], position [1,1,Q,D], the memory to read (none: the queries themselves),
  /// blocked [B,1,Q,keys] or undefined.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& position, const Memory* memory,
                     const at::Tensor& blocked, const std::string& name,
                     const ForwardContext& context) {
    return around(x, [&](const at::Tensor& inner) {
      Memory queries;  // to one another, queries are one frame with one row of cells
      if (!memory) {
        queries.tokens = inner;
        queries.position = position;
        queries.levels = {{0, 1, inner.size(2), 1}};
      }
      const AttentionInput input{inner, position, {}, memory ? *memory : queries, blocked};
      return attend(*attention_, input, context, name).values.at(0);
    });
  }

 private:
  std::shared_ptr<Attention> attention_;
};

class FfnLayer final : public SubLayer {
 public:
  FfnLayer(const Options& options, int64_t dim)
      : SubLayer(options, dim),
        activation_(options.activation),
        linear1_(register_module("linear1", torch::nn::Linear(dim, options.feed_forward_dim))),
        linear2_(register_module("linear2", torch::nn::Linear(options.feed_forward_dim, dim))) {
    xavier_reset(linear1_);
    xavier_reset(linear2_);
  }
  at::Tensor forward(const at::Tensor& x) {
    return around(x, [&](const at::Tensor& inner) {
      return linear2_->forward(activated_linear(linear1_, inner, activation_, drop_probability()));
    });
  }

 private:
  std::string activation_;
  torch::nn::Linear linear1_, linear2_;
};

class MaskedTransformer final : public Decoder {
 public:
  using Options = masked_transformer::Options;

  MaskedTransformer(const Options& options, const BuildContext& context)
      : options_(options),
        dim_(options.dim.value_or(context.memory.dim)),
        query_feat_(register_module("query_feat", torch::nn::Embedding(options.num_queries, dim_))),
        query_embed_(
            register_module("query_embed", torch::nn::Embedding(options.num_queries, dim_))),
        level_embed_(register_module(
            "level_embed",
            torch::nn::Embedding(static_cast<int64_t>(context.memory.strides.size()), dim_))),
        decoder_norm_(register_module("decoder_norm", layer_norm(dim_))) {
    if (options.input_projection || dim_ != context.memory.dim) {
      torch::nn::ModuleList list;
      for (size_t l = 0; l < context.memory.strides.size(); ++l) {
        input_proj_.emplace_back(torch::nn::Conv2dOptions(context.memory.dim, dim_, 1));
        torch::nn::init::kaiming_uniform_(input_proj_.back()->weight, 1.0);
        torch::nn::init::zeros_(input_proj_.back()->bias);
        list->push_back(input_proj_.back());
      }
      register_module("input_proj", list);
    }
    AttentionSpec self;
    self.dim = dim_;
    self.strides = {1};
    self.memory_to_memory = true;
    self.dropout = options.dropout;
    torch::nn::ModuleList cross_list, self_list, ffn_list;
    for (int64_t i = 0; i < options.num_layers; ++i) {
      AttentionSpec cross = self;
      cross.strides = {context.memory.strides[level_of(i)]};
      cross.memory_to_memory = false;
      cross_.push_back(std::make_shared<AttentionLayer>(
          options, dim_, "multihead_attn",
          checked(context.with(cross).make(options.cross_attention), "cross_attention")));
      self_.push_back(std::make_shared<AttentionLayer>(
          options, dim_, "self_attn",
          checked(context.with(self).make(options.self_attention), "self_attention")));
      ffn_.push_back(std::make_shared<FfnLayer>(options, dim_));
      cross_list->push_back(cross_.back());
      self_list->push_back(self_.back());
      ffn_list->push_back(ffn_.back());
    }
    register_module("transformer_cross_attention_layers", cross_list);
    register_module("transformer_self_attention_layers", self_list);
    register_module("transformer_ffn_layers", ffn_list);
  }

  InstanceEmbeddings forward(const Memory& memory, InstancePredictor& predictor,
                             const ForwardContext& context) override {
    const int64_t clips = memory.tokens.size(0);
    const std::vector<Memory> levels = split(memory);
    const at::Tensor position = query_embed_->weight.view({1, 1, -1, dim_});
    at::Tensor x = query_feat_->weight.view({1, 1, -1, dim_}).expand({clips, -1, -1, -1});
    InstanceEmbeddings embeddings;
    embeddings.layers.push_back(predicted_from(x));
    for (size_t i = 0; i < cross_.size(); ++i) {
      const Memory& level = levels[level_of(static_cast<int64_t>(i))];
      const at::Tensor blocked = blocked_cells(
          predictor.predict(static_cast<int64_t>(i), embeddings.layers.back(), {.masks = true}),
          level.levels.front(), clips);
      context.look("decoder.blocked." + std::to_string(i), [&] { return blocked; });
      const std::string layer = "decoder.layers." + std::to_string(i);
      x = cross_[i]->forward(x, position, &level, blocked, layer + ".cross_attn", context);
      x = self_[i]->forward(x, position, nullptr, {}, layer + ".self_attn", context);
      x = ffn_[i]->forward(x);
      embeddings.layers.push_back(predicted_from(x));
    }
    context.look("decoder.embeddings", [&] {
      std::vector<at::Tensor> all;
      for (const InstanceLayer& layer : embeddings.layers) all.push_back(layer.clip);
      return at::stack(all);  // [L+1,B,Q,D]
    });
    return embeddings;
  }

  QuerySpec spec() const override {
    return {options_.num_queries, dim_, options_.num_layers + 1, false};
  }

 private:
  size_t level_of(int64_t layer) const {
    return static_cast<size_t>(layer % level_embed_->weight.size(0));
  }
  InstanceLayer predicted_from(const at::Tensor& x) {
    return {decoder_norm_->forward(x).squeeze(1), {}, {}};
  }

  /// Each level as a memory of its own, with its embedding added and positions of its cells.
  std::vector<Memory> split(const Memory& memory) {
    std::vector<Memory> parts;
    for (size_t l = 0; l < memory.levels.size(); ++l) {
      const MemoryLevel& level = memory.levels[l];
      const auto index = static_cast<int64_t>(l), cells = level.height * level.width;
      Memory part;
      part.tokens = memory.tokens.narrow(2, level.offset, cells);
      if (!input_proj_.empty())  // a 1x1 convolution is a linear layer of each cell
        part.tokens =
            at::linear(part.tokens, input_proj_[l]->weight.flatten(1), input_proj_[l]->bias);
      part.tokens = part.tokens + level_embed_->weight[index];
      part.levels = {{0, level.height, level.width, level.stride}};
      if (memory.valid_ratio.defined()) part.valid_ratio = memory.valid_ratio.narrow(2, index, 1);
      if (memory.padding_mask.defined())
        part.padding_mask = memory.padding_mask.narrow(2, level.offset, cells);
      const at::Tensor padding = part.padding_mask.defined()
                                     ? part.padding_mask
                                     : at::zeros({part.tokens.size(0), part.tokens.size(1), cells},
                                                 part.tokens.options().dtype(at::kBool));
      const at::Tensor position =
          position_encoding(padding.unflatten(2, {level.height, level.width}), dim_,
                            options_.position, part.tokens.scalar_type());
      if (position.defined()) part.position = position.flatten(2, 3);
      parts.push_back(std::move(part));
    }
    return parts;
  }

  /// The cells of a level that no mask lies on, [B,1,Q,T*S]. Takes no gradient.
  at::Tensor blocked_cells(const LayerPrediction& prediction, const MemoryLevel& level,
                           int64_t clips) const {
    at::NoGradGuard no_grad;
    const double threshold =
        std::log(options_.mask_threshold) - std::log1p(-options_.mask_threshold);
    const at::Tensor rows =
        at::arange(options_.num_queries, query_feat_->weight.options().dtype(at::kLong));
    std::vector<at::Tensor> blocked;
    for (int64_t clip = 0; clip < clips; ++clip)
      blocked.push_back(
          prediction.masks->resized(clip, rows, level.height, level.width).flatten(1) < threshold);
    return at::stack(blocked).unsqueeze(1);
  }

  static std::shared_ptr<Attention> checked(std::shared_ptr<Attention> attention,
                                            const std::string& field) {
    const AttentionTraits traits = attention->traits();
    const std::string where = "decoder." + field;
    if (traits.scope != AttentionTraits::Scope::clip)
      throw ConfigError(where +
                        ": expected an attention over the whole clip, got one frame by frame. Set "
                        "its scope = \"clip\".");
    if (traits.reference_dim > 0)
      throw ConfigError(where +
                        ": expected an attention without reference points, got one that reads " +
                        std::to_string(traits.reference_dim) + "-d points.");
    if (field == "cross_attention" && !traits.uses_blocked)
      throw ConfigError(where +
                        ": expected an attention that heeds what is blocked, got one that reads "
                        "every cell. Use \"masked\" or \"dense\".");
    return attention;
  }

  Options options_;
  int64_t dim_;
  torch::nn::Embedding query_feat_, query_embed_, level_embed_;
  torch::nn::LayerNorm decoder_norm_;
  std::vector<torch::nn::Conv2d> input_proj_;  // of each level, or none
  std::vector<std::shared_ptr<AttentionLayer>> cross_, self_;
  std::vector<std::shared_ptr<FfnLayer>> ffn_;
};

}  // namespace tessera::decoder::masked_transformer

TESSERA_PLUGIN(Decoder, tessera::decoder::masked_transformer::MaskedTransformer,
               "masked_transformer",
               "Transformer decoder that reads where the mask before lies (Mask2Former)")
