// Transformer decoder of DETR's family: self-attention among the queries, cross-attention into the
// memory, FFN; one decoder norm on the output of every layer. Keys: query_embed,
// layers.<i>.self_attn, cross_attn, linear1, linear2, norm1..3, norm, reference_points,
// frame_embed, reference_start. Queries are per frame (VisTR: T*n learnt vectors, frame-major,
// which fixes the clip length), per clip (n vectors, any clip length; SimVTR repeats what comes out
// over the frames), or per clip and repeated over its frames with a learnt vector of the frame
// added (any clip length).

#include <ATen/ATen.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>

#include "core/interfaces/attention.h"
#include "core/interfaces/decoder.h"
#include "core/nn/boxes.h"
#include "core/nn/dropout.h"
#include "core/nn/feed_forward.h"
#include "core/nn/precision.h"
#include "core/plugin/plugin.h"

namespace tessera::decoder::transformer {

struct Options {
  int64_t num_layers = 6;
  int64_t num_queries = 10;
  std::string queries = "per_frame";
  bool repeat_over_frames = false;
  std::string references = "projected";
  int64_t feed_forward_dim = 2048;
  PluginOf<Attention> self_attention{"dense"};
  PluginOf<Attention> cross_attention{"dense"};
  double dropout = 0.1;
  bool pre_norm = false;
  std::string activation = "relu";

  static void describe(Schema<Options>& schema) {
    schema
        .field("num_layers", &Options::num_layers,
               "Decoder layers; without any (and losses on features only) a backbone is trained.")
        .at_least(0);
    schema.field("num_queries", &Options::num_queries, "Instances n that a clip can hold.")
        .at_least(1);
    schema
        .field("queries", &Options::queries,
               "per_frame: n learnt queries for every frame; per_clip: n for the clip; repeated: "
               "n for the clip, in every frame with a learnt embedding of the frame added.")
        .one_of({"per_frame", "per_clip", "repeated"});
    schema.field("repeat_over_frames", &Options::repeat_over_frames,
                 "per_clip only: every frame is given the clip's embeddings, so that classes and "
                 "boxes are per frame and equal in all of them (SimVTR).");
    schema
        .field("references", &Options::references,
               "projected: where a query looks is a projection of its embedding, the same in every "
               "layer; moving: it begins at a learnt place in the query's own frame and follows "
               "the centre of the box that each layer predicts.")
        .one_of({"projected", "moving"});
    schema.field("feed_forward_dim", &Options::feed_forward_dim, "Hidden width of a layer's FFN.")
        .at_least(1);
    schema.field("self_attention", &Options::self_attention, "Attention among the queries.");
    schema.field("cross_attention", &Options::cross_attention,
                 "Attention from the queries to the memory.");
    schema.field("dropout", &Options::dropout, "Dropout probability.").between(0, 1);
    schema.field("pre_norm", &Options::pre_norm,
                 "Normalise before each sub-layer instead of after.");
    schema.field("activation", &Options::activation, "Activation of the FFN.")
        .one_of({"relu", "gelu"});
    schema.validate([](const Options& o) {
      if (o.repeat_over_frames && o.queries != "per_clip")
        throw ConfigError("repeat_over_frames: expected queries = \"per_clip\" beside it, got \"" +
                          o.queries + "\": its embeddings are per frame as they are.");
      if (o.references == "moving" && o.queries == "per_clip")
        throw ConfigError(
            "references: expected queries = \"per_frame\" or \"repeated\" with \"moving\", got "
            "\"per_clip\": a query of the whole clip has no place in a frame.");
    });
  }
};

class Layer final : public torch::nn::Module {
 public:
  Layer(const Options& options, int64_t dim, const BuildContext& self, const BuildContext& cross)
      : options_(options),
        self_attn_(self.make(options.self_attention)),
        cross_attn_(cross.make(options.cross_attention)),
        linear1_(register_module("linear1", torch::nn::Linear(dim, options.feed_forward_dim))),
        linear2_(register_module("linear2", torch::nn::Linear(options.feed_forward_dim, dim))),
        norm1_(register_module("norm1", torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim})))),
        norm2_(register_module("norm2", torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim})))),
        norm3_(register_module("norm3", torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim})))) {
    register_module("self_attn", self_attn_);
    register_module("cross_attn", cross_attn_);
    xavier_reset(linear1_);
    xavier_reset(linear2_);
  }

  AttentionTraits cross_traits() const { return cross_attn_->traits(); }
  AttentionTraits self_traits() const { return self_attn_->traits(); }

  /// in: x [B,1,Lq,D], query_position [1,1,Lq,D], references [B,1,Lq,R] or undefined.
  at::Tensor forward(at::Tensor x, const at::Tensor& query_position, const at::Tensor& references,
                     const Memory& memory, const std::string& name, const ForwardContext& context) {
    const bool pre = options_.pre_norm;
    x = sub_layer(
        x, norm1_,
        [&](const at::Tensor& inner) {
          // The queries are a memory of one frame and one row of cells to one another.
          Memory queries;
          queries.tokens = inner;
          queries.position = query_position;
          queries.levels = {{0, 1, inner.size(2), 1}};
          const AttentionInput input{inner, query_position, {}, queries, {}};
          return self_attn_->forward(input, context).values.at(0);
        },
        pre);
    x = sub_layer(
        x, norm2_,
        [&](const at::Tensor& inner) {
          const AttentionInput input{inner, query_position, references, memory, {}};
          return attend(*cross_attn_, input, context, name + ".cross_attn").values.at(0);
        },
        pre);
    return sub_layer(
        x, norm3_,
        [&](const at::Tensor& inner) {
          return linear2_->forward(activated_linear(linear1_, inner, options_.activation,
                                                    is_training() ? options_.dropout : 0.0));
        },
        pre);
  }

 private:
  template <class Work>
  at::Tensor sub_layer(const at::Tensor& x, torch::nn::LayerNorm& norm, Work&& work, bool pre) {
    if (pre) return x + drop(work(norm->forward(x)));
    return norm->forward(x + drop(work(x)));
  }
  at::Tensor drop(const at::Tensor& x) { return with_dropout(x, options_.dropout, is_training()); }

  Options options_;
  std::shared_ptr<Attention> self_attn_, cross_attn_;
  torch::nn::Linear linear1_, linear2_;
  torch::nn::LayerNorm norm1_, norm2_, norm3_;
};

class Transformer final : public Decoder {
 public:
  using Options = transformer::Options;

  Transformer(const Options& options, const BuildContext& context)
      : options_(options), dim_(context.memory.dim), frames_(context.clip.num_frames) {
    AttentionSpec self;
    self.dim = dim_;
    self.strides = {1};
    self.memory_to_memory = true;
    self.dropout = options.dropout;
    AttentionSpec cross = self;
    cross.strides = context.memory.strides;
    cross.memory_to_memory = false;
    for (int64_t i = 0; i < options.num_layers; ++i) {
      layers_.push_back(
          std::make_shared<Layer>(options, dim_, context.with(self), context.with(cross)));
      layer_list_->push_back(layers_.back());
    }
    register_module("layers", layer_list_);
    norm_ = register_module("norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim_})));
    query_embed_ = register_module("query_embed", torch::nn::Embedding(learnt_rows(), dim_));
    if (options.queries == "repeated")
      frame_embed_ = register_module("frame_embed", torch::nn::Embedding(frames_, dim_));
    for (const auto& layer : layers_) {
      check(layer->self_traits(), "self_attention", /*has_references=*/false);
      check(layer->cross_traits(), "cross_attention", /*has_references=*/true);
    }
    reference_dim_ = layers_.empty() ? 0 : layers_.front()->cross_traits().reference_dim;
    if (moving()) {
      if (reference_dim_ != 0 && reference_dim_ != 2 && reference_dim_ != 3)
        throw ConfigError(
            "decoder.references: expected a cross_attention that reads 2-d or 3-d "
            "points with \"moving\", got one that reads " +
            std::to_string(reference_dim_) + "-d ones.");
      reference_start_ =
          register_parameter("reference_start", inverse_sigmoid(even_grid(learnt_rows())));
    } else if (const int64_t width = reference_dim_; width > 0) {
      reference_points_ = register_module("reference_points", torch::nn::Linear(dim_, width));
      xavier_reset(reference_points_);
    }
  }

  InstanceEmbeddings forward(const Memory& memory, InstancePredictor& predictor,
                             const ForwardContext& context) override {
    const int64_t clips = memory.tokens.size(0), frames = memory.num_frames();
    if (options_.queries == "per_frame" && frames != frames_)
      throw ShapeError("decoder: expected clips of " + std::to_string(frames_) + " frames, got " +
                       std::to_string(frames) +
                       ". Its queries are learnt for every frame; set "
                       "data.num_frames or queries = \"per_clip\".");
    const at::Tensor position = query_positions(frames);  // [1,1,Lq,D]
    at::Tensor x = at::zeros({clips, 1, position.size(2), dim_}, memory.tokens.options());
    at::Tensor places;      // [B,T,Q,2] (x, y) of moving references
    at::Tensor references;  // [B,1,Lq,R]
    if (moving()) {
      places = starting_places(clips, frames);
    } else if (reference_points_) {
      references = to_full_precision(reference_points_->forward(query_embed_->weight))
                       .sigmoid()
                       .expand({clips, -1, -1});
      context.look("decoder.reference_points", [&] { return references; });
      references = references.unsqueeze(1);
      if (options_.queries == "repeated") references = references.repeat({1, 1, frames, 1});
    }
    InstanceEmbeddings embeddings;
    std::vector<at::Tensor> outputs;
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (moving() && reference_dim_ > 0) references = with_own_time(places);
      x = layers_[i]->forward(x, position, references, memory,
                              "decoder.layers." + std::to_string(i), context);
      const at::Tensor output = norm_->forward(x).squeeze(1);  // [B,Lq,D]
      outputs.push_back(output);
      InstanceLayer result;
      if (options_.repeat_over_frames)
        result.frame = output.unsqueeze(1).expand({-1, frames, -1, -1});
      else if (per_frame_queries())
        result.frame = output.unflatten(1, {frames, options_.num_queries});
      else
        result.clip = output;
      result.references = places;
      if (moving() && i + 1 < layers_.size()) {
        const LayerPrediction said =
            predictor.predict(static_cast<int64_t>(i), result, {.boxes = true});
        places = said.boxes.detach().narrow(-1, 0, 2);
      }
      embeddings.layers.push_back(std::move(result));
    }
    if (!outputs.empty()) context.look("decoder.embeddings", [&] { return at::stack(outputs); });
    return embeddings;
  }

  QuerySpec spec() const override {
    return {options_.num_queries, dim_, options_.num_layers,
            per_frame_queries() || options_.repeat_over_frames};
  }
  ClipNeeds needs() const override {
    ClipNeeds needs;
    needs.fixed_frames = options_.queries == "per_frame" ? frames_ : 0;
    for (const auto& layer : layers_)
      needs.fixed_frames = std::max(needs.fixed_frames, layer->cross_traits().fixed_frames);
    return needs;
  }

 private:
  /// Whether the layers' rows are (frame, query) pairs.
  bool per_frame_queries() const { return options_.queries != "per_clip"; }
  bool moving() const { return options_.references == "moving"; }
  int64_t learnt_rows() const {
    return options_.queries == "per_frame" ? frames_ * options_.num_queries : options_.num_queries;
  }
  /// [1,1,Lq,D], frame-major where a row is a (frame, query) pair.
  at::Tensor query_positions(int64_t frames) {
    const at::Tensor& learnt = query_embed_->weight;
    if (!frame_embed_) return learnt.view({1, 1, learnt_rows(), dim_});
    at::Tensor time = frame_embed_->weight;  // [T,D]
    if (frames != frames_)                   // another clip length reads between the learnt frames
      time = at::upsample_linear1d(time.t().unsqueeze(0), {frames}, /*align_corners=*/false)
                 .squeeze(0)
                 .t();
    return (time.unsqueeze(1) + learnt.unsqueeze(0)).reshape({1, 1, -1, dim_});
  }
  /// [B,T,Q,2].
  at::Tensor starting_places(int64_t clips, int64_t frames) const {
    const at::Tensor start = reference_start_.sigmoid();
    const at::Tensor places = options_.queries == "per_frame"
                                  ? start.view({1, frames, options_.num_queries, 2})
                                  : start.view({1, 1, options_.num_queries, 2});
    return places.expand({clips, frames, -1, -1});
  }
  /// in: places [B,T,Q,2]. out: [B,1,T*Q,R], the own frame's centre as t where R = 3.
  at::Tensor with_own_time(const at::Tensor& places) const {
    const int64_t frames = places.size(1);
    at::Tensor references = places;
    if (reference_dim_ == 3) {
      const at::Tensor t =
          (at::arange(frames, places.options()) + 0.5) / static_cast<double>(frames);
      references = at::cat(
          {places, t.view({1, frames, 1, 1}).expand({places.size(0), frames, places.size(2), 1})},
          -1);
    }
    return references.flatten(1, 2).unsqueeze(1);
  }
  /// `count` places spread over the frame, [count,2] (x, y).
  static at::Tensor even_grid(int64_t count) {
    const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
    const int64_t rows = (count + columns - 1) / columns;
    const at::Tensor index = at::arange(count, at::kFloat);
    const at::Tensor row = at::floor(index / static_cast<double>(columns));
    const at::Tensor column = index - row * static_cast<double>(columns);
    return at::stack(
        {(column + 0.5) / static_cast<double>(columns), (row + 0.5) / static_cast<double>(rows)},
        -1);
  }
  static void check(const AttentionTraits& traits, const std::string& field, bool has_references) {
    const std::string where = "decoder." + field;
    if (traits.memory_to_memory_only)
      throw ConfigError(
          where +
          ": expected an attention that any query may use, got one that works among a "
          "memory's own tokens only.");
    if (traits.scope != AttentionTraits::Scope::clip)
      throw ConfigError(where +
                        ": expected an attention over the whole clip, got one frame by frame. "
                        "Set its scope = \"clip\".");
    if (!has_references && traits.reference_dim > 0)
      throw ConfigError(where +
                        ": expected an attention without reference points, got one that reads " +
                        std::to_string(traits.reference_dim) + "-d points.");
  }

  Options options_;
  int64_t dim_, frames_;
  torch::nn::ModuleList layer_list_;
  std::vector<std::shared_ptr<Layer>> layers_;
  torch::nn::LayerNorm norm_{nullptr};
  torch::nn::Embedding query_embed_{nullptr}, frame_embed_{nullptr};
  int64_t reference_dim_ = 0;
  at::Tensor reference_start_;  // [learnt rows,2] before the sigmoid
  torch::nn::Linear reference_points_{nullptr};
};

}  // namespace tessera::decoder::transformer

TESSERA_PLUGIN(Decoder, tessera::decoder::transformer::Transformer, "transformer",
               "Transformer decoder with queries per frame or per clip")
