// Decoder of decomposed queries (SeqFormer, Wu et al. 2022): an instance query for the clip, which
// says what and with which kernels, and a box query for every frame, which says where. Boxes are
// refined from layer to layer. Keys: query_embed, reference_points, layers.<i>.self_attn, norm2;
// self_attn_box, norm2_box; temporal_attn, norm_temporal (a second one: temporal_attn_1, ...);
// cross_attn, norm1, norm1_box; linear1, linear2, norm3; linear1_box, linear2_box, norm3_box;
// time_attention_weights.
// Differs from the reference: box queries may attend over time (MS-STS VIS's figure).

#include <ATen/ATen.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>

#include "core/interfaces/attention.h"
#include "core/interfaces/decoder.h"
#include "core/nn/dropout.h"
#include "core/nn/feed_forward.h"
#include "core/nn/precision.h"
#include "core/plugin/plugin.h"

namespace tessera::decoder::decomposed_queries {

struct Options {
  int64_t num_layers = 6;
  int64_t num_queries = 300;
  int64_t feed_forward_dim = 1024;
  PluginOf<Attention> self_attention{"dense"};
  PluginOf<Attention> box_self_attention{"dense"};
  std::vector<PluginOf<Attention>> temporal_attention;
  PluginOf<Attention> cross_attention{"ms_deformable"};
  bool refine_boxes = true;
  double dropout = 0.1;
  std::string activation = "relu";

  static void describe(Schema<Options>& schema) {
    schema.field("num_layers", &Options::num_layers, "Decoder layers.").at_least(1);
    schema.field("num_queries", &Options::num_queries, "Instances that a clip can hold.")
        .at_least(1);
    schema.field("feed_forward_dim", &Options::feed_forward_dim, "Hidden width of a layer's FFNs.")
        .at_least(1);
    schema.field("self_attention", &Options::self_attention,
                 "Attention among the instance queries.");
    schema.field(
        "box_self_attention", &Options::box_self_attention,
        "Attention among the box queries of a frame; it sees them as one clip of one frame.");
    schema.field("temporal_attention", &Options::temporal_attention,
                 "Attention among the box queries of all frames, before cross-attention; several "
                 "follow one another, none: frames meet in the instance query only (SeqFormer).");
    schema.field("cross_attention", &Options::cross_attention,
                 "Attention from the box queries to the memory, frame by frame, with one output "
                 "for the instance queries and one for the box queries.");
    schema.field("refine_boxes", &Options::refine_boxes,
                 "A layer looks around the boxes of the layer before; without it all look around "
                 "the learnt points.");
    schema.field("dropout", &Options::dropout, "Dropout probability.").between(0, 1);
    schema.field("activation", &Options::activation, "Activation of the FFNs.")
        .one_of({"relu", "gelu"});
  }
};

/// The queries between two layers.
struct Queries {
  at::Tensor instance;  // [B,Q,D]
  at::Tensor box;       // [B,T,Q,D]; T = 1 while all frames share them
};

class Layer final : public torch::nn::Module {
 public:
  Layer(const Options& options, int64_t dim, const BuildContext& self, const BuildContext& cross)
      : options_(options),
        self_attn_(self.make(options.self_attention)),
        self_attn_box_(self.make(options.box_self_attention)),
        cross_attn_(cross.make(options.cross_attention)),
        norm1_(norm("norm1", dim)),
        norm2_(norm("norm2", dim)),
        norm3_(norm("norm3", dim)),
        norm1_box_(norm("norm1_box", dim)),
        norm2_box_(norm("norm2_box", dim)),
        norm3_box_(norm("norm3_box", dim)),
        linear1_(linear("linear1", dim, options.feed_forward_dim)),
        linear2_(linear("linear2", options.feed_forward_dim, dim)),
        linear1_box_(linear("linear1_box", dim, options.feed_forward_dim)),
        linear2_box_(linear("linear2_box", options.feed_forward_dim, dim)),
        time_attention_weights_(linear("time_attention_weights", dim, 1)) {
    register_module("self_attn", self_attn_);
    register_module("self_attn_box", self_attn_box_);
    register_module("cross_attn", cross_attn_);
    for (size_t i = 0; i < options.temporal_attention.size(); ++i) {
      const std::string index = i == 0 ? "" : "_" + std::to_string(i);
      temporal_attn_.push_back(self.make(options.temporal_attention[i]));
      register_module("temporal_attn" + index, temporal_attn_.back());
      norm_temporal_.push_back(norm("norm_temporal" + index, dim));
    }
  }

  AttentionTraits self_traits() const { return self_attn_->traits(); }
  AttentionTraits box_traits() const { return self_attn_box_->traits(); }
  AttentionTraits cross_traits() const { return cross_attn_->traits(); }
  std::vector<AttentionTraits> temporal_traits() const {
    std::vector<AttentionTraits> traits;
    for (const auto& attention : temporal_attn_) traits.push_back(attention->traits());
    return traits;
  }

  /// in: position [1,1,Q,D], references [B,T,Q,2|4].
  void forward(Queries& queries, const at::Tensor& position, const at::Tensor& references,
               const Memory& memory, const std::string& name, const ForwardContext& context) {
    const int64_t frames = memory.num_frames();
    at::Tensor instance = queries.instance.unsqueeze(1);  // [B,1,Q,D]
    instance = norm2_->forward(instance + drop(among(*self_attn_, instance, position, context)));
    // Frames are clips of one frame here.
    const at::Tensor each = queries.box.flatten(0, 1).unsqueeze(1);  // [B*T,1,Q,D]
    at::Tensor box = norm2_box_->forward(
        queries.box +
        drop(among(*self_attn_box_, each, position, context)).view(queries.box.sizes()));
    box = box.expand({-1, frames, -1, -1});
    for (size_t i = 0; i < temporal_attn_.size(); ++i)
      box = norm_temporal_[i]->forward(box +
                                       drop(over_time(*temporal_attn_[i], box, position, context)));

    const std::vector<at::Tensor> read =
        attend(*cross_attn_, {box, position, references, memory, {}}, context, name + ".cross_attn")
            .values;
    box = norm1_box_->forward(box + drop(read.at(1)));
    queries.box = norm3_box_->forward(box + drop(feed_forward(box, linear1_box_, linear2_box_)));
    const at::Tensor share = time_attention_weights_->forward(queries.box).softmax(1);  // [B,T,Q,1]
    const at::Tensor joined = (read.at(0) * share).sum(1);                              // [B,Q,D]
    instance = norm1_->forward(instance.squeeze(1) + drop(joined));
    queries.instance = norm3_->forward(instance + drop(feed_forward(instance, linear1_, linear2_)));
  }

 private:
  torch::nn::LayerNorm norm(const std::string& name, int64_t dim) {
    return register_module(name, torch::nn::LayerNorm(torch::nn::LayerNormOptions({dim})));
  }
  torch::nn::Linear linear(const std::string& name, int64_t in, int64_t out) {
    torch::nn::Linear made(in, out);
    xavier_reset(made);
    return register_module(name, made);
  }
  at::Tensor drop(const at::Tensor& x) { return with_dropout(x, options_.dropout, is_training()); }
  at::Tensor feed_forward(const at::Tensor& x, torch::nn::Linear& in, torch::nn::Linear& out) {
    return out->forward(
        activated_linear(in, x, options_.activation, is_training() ? options_.dropout : 0.0));
  }

  /// Queries [B,1,Q,D] that are a memory of one frame and one row of cells to one another.
  static at::Tensor among(Attention& attention, const at::Tensor& x, const at::Tensor& position,
                          const ForwardContext& context) {
    Memory own;
    own.tokens = x;
    own.position = position;
    own.levels = {{0, 1, x.size(2), 1}};
    return attention.forward({x, position, {}, own, {}}, context).values.at(0);
  }
  /// The same of all frames together, [B,T,Q,D].
  static at::Tensor over_time(Attention& attention, const at::Tensor& x, const at::Tensor& position,
                              const ForwardContext& context) {
    Memory own;
    own.tokens = x;
    own.position = position.expand_as(x);
    own.levels = {{0, 1, x.size(2), 1}};
    auto joined = [](const at::Tensor& y) { return y.flatten(1, 2).unsqueeze(1); };
    return attention.forward({joined(x), joined(own.position), {}, own, {}}, context)
        .values.at(0)
        .view(x.sizes());
  }

  Options options_;
  std::shared_ptr<Attention> self_attn_, self_attn_box_, cross_attn_;
  std::vector<std::shared_ptr<Attention>> temporal_attn_;
  torch::nn::LayerNorm norm1_, norm2_, norm3_, norm1_box_, norm2_box_, norm3_box_;
  std::vector<torch::nn::LayerNorm> norm_temporal_;
  torch::nn::Linear linear1_, linear2_, linear1_box_, linear2_box_, time_attention_weights_;
};

class DecomposedQueries final : public Decoder {
 public:
  using Options = decomposed_queries::Options;

  DecomposedQueries(const Options& options, const BuildContext& context)
      : options_(options), dim_(context.memory.dim) {
    AttentionSpec self;
    self.dim = dim_;
    self.strides = {1};
    self.memory_to_memory = true;
    self.dropout = options.dropout;
    AttentionSpec cross = self;
    cross.strides = context.memory.strides;
    cross.memory_to_memory = false;
    cross.num_outputs = 2;
    for (int64_t i = 0; i < options.num_layers; ++i) {
      layers_.push_back(
          std::make_shared<Layer>(options, dim_, context.with(self), context.with(cross)));
      layer_list_->push_back(layers_.back());
    }
    register_module("layers", layer_list_);
    check(*layers_.front());
    query_embed_ =
        register_module("query_embed", torch::nn::Embedding(options.num_queries, 2 * dim_));
    reference_points_ = register_module("reference_points", torch::nn::Linear(dim_, 2));
    xavier_reset(reference_points_);
  }

  InstanceEmbeddings forward(const Memory& memory, InstancePredictor& predictor,
                             const ForwardContext& context) override {
    const int64_t clips = memory.tokens.size(0), frames = memory.num_frames();
    const at::Tensor position =
        query_embed_->weight.narrow(1, 0, dim_).view({1, 1, options_.num_queries, dim_});
    Queries queries;
    queries.instance = query_embed_->weight.narrow(1, dim_, dim_).expand({clips, -1, -1});
    queries.box = queries.instance.unsqueeze(1);
    at::Tensor references = to_full_precision(reference_points_->forward(position))
                                .sigmoid()
                                .expand({clips, frames, -1, -1});
    context.look("decoder.reference_points", [&] { return references; });
    InstanceEmbeddings embeddings;
    std::vector<at::Tensor> instances, boxes;
    for (size_t i = 0; i < layers_.size(); ++i) {
      layers_[i]->forward(queries, position, references, memory,
                          "decoder.layers." + std::to_string(i), context);
      InstanceLayer layer{queries.instance, queries.box, references};
      instances.push_back(queries.instance);
      boxes.push_back(queries.box);
      if (options_.refine_boxes && i + 1 < layers_.size()) {
        const LayerPrediction said =
            predictor.predict(static_cast<int64_t>(i), layer, {.boxes = true});
        if (!said.boxes.defined())
          throw ConfigError(
              "decoder.refine_boxes: expected a head that predicts boxes, got one with with_boxes "
              "= false.");
        references = said.boxes.detach();
      }
      embeddings.layers.push_back(std::move(layer));
    }
    context.look("decoder.embeddings", [&] { return at::stack(instances); });
    context.look("decoder.frame_embeddings", [&] { return at::stack(boxes); });
    return embeddings;
  }

  QuerySpec spec() const override {
    return {options_.num_queries, dim_, options_.num_layers, /*per_frame=*/true};
  }
  ClipNeeds needs() const override {
    ClipNeeds needs;
    for (const AttentionTraits& traits : layers_.front()->temporal_traits())
      needs.fixed_frames = std::max(needs.fixed_frames, traits.fixed_frames);
    return needs;
  }

 private:
  void check(const Layer& layer) const {
    expect_among_queries(layer.self_traits(), "self_attention");
    expect_among_queries(layer.box_traits(), "box_self_attention");
    for (const AttentionTraits& traits : layer.temporal_traits()) {
      expect_among_queries(traits, "temporal_attention");
      if (traits.scope != AttentionTraits::Scope::clip)
        throw ConfigError(
            "decoder.temporal_attention: expected an attention over the whole clip, got one frame "
            "by frame. Set its scope = \"clip\".");
    }
    const AttentionTraits cross = layer.cross_traits();
    if (cross.memory_to_memory_only || cross.scope != AttentionTraits::Scope::frame)
      throw ConfigError(
          "decoder.cross_attention: expected an attention frame by frame that any query may use "
          "(ms_deformable), got another.");
    if (cross.reference_dim != 0 && cross.reference_dim != 2)
      throw ConfigError("decoder.cross_attention: expected one that reads 2-d points, got " +
                        std::to_string(cross.reference_dim) + "-d ones.");
    if (options_.refine_boxes && cross.reference_dim == 2 && !cross.takes_boxes)
      throw ConfigError(
          "decoder.refine_boxes: expected a cross_attention that takes boxes, too, got one that "
          "takes points only. Set refine_boxes = false.");
  }
  static void expect_among_queries(const AttentionTraits& traits, const std::string& field) {
    if (traits.reference_dim > 0)
      throw ConfigError("decoder." + field +
                        ": expected an attention without reference points, got one that reads " +
                        std::to_string(traits.reference_dim) + "-d points.");
  }

  Options options_;
  int64_t dim_;
  torch::nn::ModuleList layer_list_;
  std::vector<std::shared_ptr<Layer>> layers_;
  torch::nn::Embedding query_embed_{nullptr};
  torch::nn::Linear reference_points_{nullptr};
};

}  // namespace tessera::decoder::decomposed_queries

TESSERA_PLUGIN(Decoder, tessera::decoder::decomposed_queries::DecomposedQueries,
               "decomposed_queries",
               "Instance queries with a box query for every frame, weighted over time (SeqFormer)")
