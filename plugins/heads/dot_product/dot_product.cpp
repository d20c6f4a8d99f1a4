// Masks as dot products (MaskFormer, Cheng et al. 2021): an MLP turns a query's embedding into C
// numbers, which are multiplied with C fine features of each pixel: those of an encoder that makes
// some (Mask2Former's pixel decoder), or the head's own, where a pyramid of 3x3 convolutions turns
// the memory and the backbone's finer levels into C channels at the finest stride. With box_prior a
// paraboloid around the query's box is added, so that a mask begins where its box is. Keys:
// mask_embed.layers.<i>, memory_proj, lateral_<i>, output_<i>, norm_<i>, prior_scale.

#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <array>
#include <map>
#include <vector>

#include "core/interfaces/backbone.h"
#include "core/interfaces/mask_head.h"
#include "core/nn/mlp.h"
#include "core/nn/points.h"
#include "core/nn/position_encoding.h"
#include "core/nn/precision.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::mask_head::dot_product {

struct Options {
  std::string features = "own";
  int64_t channels = 32;
  int64_t embed_layers = 3;
  std::optional<int64_t> stride;
  int64_t norm_groups = 0;
  bool position = true;
  bool box_prior = false;
  double prior_height = 3.0;

  static void describe(Schema<Options>& schema) {
    schema
        .field(
            "features", &Options::features,
            "own: the head makes its fine features; encoder: the encoder, or the decoder where it "
            "changes them, gives them, and channels, stride and norm_groups here have no effect.")
        .one_of({"own", "encoder"});
    schema.field("channels", &Options::channels, "Channels C of features and mask embeddings.")
        .at_least(1);
    schema.field("embed_layers", &Options::embed_layers, "Linear layers of the embedding's MLP.")
        .at_least(1);
    schema
        .field("stride", &Options::stride,
               "Stride of the masks: that of a backbone level; by default its finest.")
        .at_least(1);
    schema
        .field("norm_groups", &Options::norm_groups,
               "Groups of a group norm after each convolution; 0: no norm.")
        .at_least(0);
    schema.field("position", &Options::position,
                 "Add the 2-D sine position encoding to the features, so that an embedding can ask "
                 "for a place.");
    schema.field("box_prior", &Options::box_prior,
                 "Add prior_height - softplus(g + 2) * (squared distance from the box's centre in "
                 "half widths and heights), g predicted; the box takes no gradient.");
    schema.field("prior_height", &Options::prior_height, "Prior's logit at the box's centre.");
    schema.validate([](const Options& o) {
      if (o.position && o.channels % 4 != 0)
        throw ConfigError("channels: expected a multiple of 4 with position = true, got " +
                          std::to_string(o.channels) + ".");
      if (o.norm_groups > 0 && o.channels % o.norm_groups != 0)
        throw ConfigError(
            "norm_groups: expected a divisor of channels = " + std::to_string(o.channels) +
            ", got " + std::to_string(o.norm_groups) + ".");
    });
  }
};

/// What one batch's features are to the head.
struct Features {
  at::Tensor maps;  // [B,T,C,h,w]
  /// The clips of `maps`, [T,C,h,w] each: many masks are made of one, and a select() for each would
  /// have its gradient spread over a tensor of the batch's size before it is added.
  std::vector<at::Tensor> clips;
  at::Tensor x, y;  // [B,T,w], [B,T,h] cell centres as parts of the unpadded frame
  /// Maps at other sizes, for those who ask without gradients, again and again.
  mutable std::map<std::array<int64_t, 2>, at::Tensor> resized;
};

class Source final : public MaskSource {
 public:
  Source(std::shared_ptr<const Features> features, at::Tensor embeddings, at::Tensor boxes,
         at::Tensor steepness, double prior_height)
      : features_(std::move(features)),
        embeddings_(std::move(embeddings)),
        boxes_(std::move(boxes)),
        steepness_(std::move(steepness)),
        prior_height_(prior_height) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    const at::Tensor& maps = features_->clips.at(static_cast<size_t>(clip));       // [T,C,h,w]
    const at::Tensor queries = embeddings_.select(0, clip).index_select(1, rows);  // [T,R,C]
    at::Tensor logits =
        at::bmm(queries, maps.flatten(2)).unflatten(2, {maps.size(2), maps.size(3)});  // [T,R,h,w]
    if (steepness_.defined()) logits = logits + prior(clip, rows);
    return logits.transpose(0, 1);
  }

  // Where all rows share their points they are channels to sample. Bilinear sampling and the
  // product are both linear: with fewer channels of features than rows, the features are sampled
  // instead.
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    const bool shared = points.size(0) > 1 && points.stride(0) == 0;
    if (!shared || steepness_.defined()) return MaskSource::logits_at(clip, rows, points);
    const at::Tensor& maps = features_->clips.at(static_cast<size_t>(clip));       // [T,C,h,w]
    const at::Tensor queries = embeddings_.select(0, clip).index_select(1, rows);  // [T,R,C]
    if (queries.size(1) > queries.size(2))
      return at::bmm(queries, sample_at(maps, points[0])).transpose(0, 1);
    const at::Tensor logits =
        at::bmm(queries, maps.flatten(2)).unflatten(2, {maps.size(2), maps.size(3)});
    return sample_at(logits, points[0]).transpose(0, 1);
  }

  // Resizing is linear, too, and coarse maps are cheap to multiply with.
  at::Tensor resized(int64_t clip, const at::Tensor& rows, int64_t height,
                     int64_t width) const override {
    const int64_t cells = features_->maps.size(3) * features_->maps.size(4);
    if (steepness_.defined() || at::GradMode::is_enabled() || height * width > cells)
      return MaskSource::resized(clip, rows, height, width);
    at::Tensor& maps = features_->resized[{height, width}];  // [B,T,C,h,w]
    if (!maps.defined())
      maps = at::upsample_bilinear2d(features_->maps.flatten(0, 1), {height, width},
                                     /*align_corners=*/false)
                 .unflatten(0, {features_->maps.size(0), features_->maps.size(1)});
    return at::bmm(embeddings_.select(0, clip).index_select(1, rows),
                   maps.select(0, clip).flatten(2))
        .unflatten(2, {height, width})
        .transpose(0, 1);
  }

 private:
  // [T,R,h,w]
  at::Tensor prior(int64_t clip, const at::Tensor& rows) const {
    const at::Tensor box = boxes_.select(0, clip).index_select(1, rows);            // [T,R,4]
    const at::Tensor steepness = steepness_.select(0, clip).index_select(1, rows);  // [T,R]
    constexpr double kSmallestSide = 1e-3;
    auto squared = [&](const at::Tensor& cells, int64_t axis) {  // [T,n] -> [T,R,n]
      const at::Tensor centre = box.select(2, axis).unsqueeze(2);
      const at::Tensor half = box.select(2, axis + 2).unsqueeze(2).clamp_min(kSmallestSide) / 2;
      return ((cells.unsqueeze(1) - centre) / half).square();
    };
    const at::Tensor x = squared(features_->x.select(0, clip), 0).unsqueeze(2);  // [T,R,1,w]
    const at::Tensor y = squared(features_->y.select(0, clip), 1).unsqueeze(3);  // [T,R,h,1]
    return prior_height_ - steepness.unsqueeze(-1).unsqueeze(-1) * (x + y);
  }

  std::shared_ptr<const Features> features_;
  at::Tensor embeddings_;  // [B,T,Q,C]
  at::Tensor boxes_;       // [B,T,Q,4]
  at::Tensor steepness_;   // [B,T,Q], undefined without a prior
  double prior_height_;
};

class DotProduct;

class Prepared final : public PreparedMasks {
 public:
  Prepared(DotProduct& head, std::shared_ptr<const Features> features)
      : head_(head), features_(std::move(features)) {}
  std::shared_ptr<const MaskSource> masks(int64_t layer, const InstanceLayer& embeddings,
                                          const at::Tensor& boxes) const override;

 private:
  DotProduct& head_;
  std::shared_ptr<const Features> features_;
};

class DotProduct final : public MaskHead {
 public:
  using Options = dot_product::Options;

  DotProduct(const Options& options, const BuildContext& context) : options_(options) {
    if (from_encoder()) {
      if (context.memory.pixel_channels == 0)
        throw ConfigError(
            "mask_head.features: expected an encoder that makes fine features with \"encoder\", "
            "got "
            "one that makes none. Use the encoder pixel_decoder, or features = \"own\".");
      options_.channels = context.memory.pixel_channels;
    }
    mask_embed_ = register_module("mask_embed",
                                  std::make_shared<Mlp>(context.queries.dim, context.queries.dim,
                                                        options_.channels, options.embed_layers));
    if (!from_encoder()) make_pyramid(context);
    if (options.box_prior)
      prior_scale_ = register_module("prior_scale", torch::nn::Linear(context.queries.dim, 1));
  }

  std::shared_ptr<const PreparedMasks> prepare(const FeaturePyramid& pyramid, const Memory& memory,
                                               const ForwardContext& context) override {
    auto features = std::make_shared<Features>();
    at::Tensor padding;  // [B,T,h,w]
    if (from_encoder()) {
      features->maps = memory.pixel_features;
      padding = padding_at(pyramid, memory.pixel_features);
    } else {
      features->maps = own_features(pyramid, memory, padding);
    }
    if (options_.position) {
      PositionOptions position;
      position.kind = "2d";
      position.first = 0.5;
      const at::ScalarType type = features->maps.scalar_type();
      features->maps =
          features->maps +
          position_encoding(padding, options_.channels, position, type).permute({0, 1, 4, 2, 3});
    }
    features->clips = features->maps.unbind(0);
    context.look("mask_head.features", [&] { return features->maps; });
    const at::Tensor kept = padding.logical_not().to(full_precision(features->maps.scalar_type()));
    features->x = centres(kept.select(2, 0));
    features->y = centres(kept.select(3, 0));
    return std::make_shared<Prepared>(*this, std::move(features));
  }
  bool wants_boxes() const override { return options_.box_prior; }
  bool reads_layer_features() const override { return from_encoder(); }
  bool frames_apart() const override { return true; }

  std::shared_ptr<const MaskSource> source(const std::shared_ptr<const Features>& features,
                                           const InstanceLayer& layer, const at::Tensor& boxes) {
    const int64_t frames = features->maps.size(1);
    auto over_frames = [&](const at::Tensor& x) {  // [B,Q,..] -> [B,T,Q,..]
      return layer.frame.defined() ? x : x.unsqueeze(1).expand({-1, frames, -1, -1});
    };
    const at::Tensor& x = layer.frame.defined() ? layer.frame : layer.clip;
    at::Tensor steepness, box;
    if (options_.box_prior) {
      steepness = at::softplus(over_frames(prior_scale_->forward(x)).squeeze(-1) + 2);
      box = boxes.detach();
    }
    return std::make_shared<Source>(features, over_frames(mask_embed_->forward(x)), box, steepness,
                                    options_.prior_height);
  }

 private:
  bool from_encoder() const { return options_.features == "encoder"; }

  /// The modules of the head's own features.
  void make_pyramid(const BuildContext& context) {
    const Options& options = options_;
    const auto& strides = context.memory.strides;
    finest_memory_ =
        static_cast<size_t>(std::min_element(strides.begin(), strides.end()) - strides.begin());
    const int64_t memory_stride = strides.at(finest_memory_);
    const int64_t wanted = options.stride.value_or(context.pyramid.levels.front().stride);
    bool found = wanted == memory_stride;
    memory_proj_ = register_module("memory_proj", convolution(context.memory.dim, 1));
    for (size_t l = context.pyramid.levels.size(); l-- > 0;) {
      const LevelSpec& level = context.pyramid.levels[l];
      if (level.stride >= memory_stride || level.stride < wanted) continue;
      found = found || level.stride == wanted;
      const std::string index = std::to_string(levels_.size());
      levels_.push_back(l);
      laterals_.push_back(register_module("lateral_" + index, convolution(level.channels, 1)));
      outputs_.push_back(register_module("output_" + index, convolution(options.channels, 3)));
      if (options.norm_groups > 0)
        norms_.push_back(
            register_module("norm_" + index, torch::nn::GroupNorm(torch::nn::GroupNormOptions(
                                                 options.norm_groups, options.channels))));
    }
    if (!found)
      throw ConfigError("mask_head.stride: expected the stride of the memory's finest level, " +
                        std::to_string(memory_stride) + ", or of a finer backbone level, got " +
                        std::to_string(wanted) + ".");
  }

  /// out: [B,T,C,h,w], and the padding at their size.
  at::Tensor own_features(const FeaturePyramid& pyramid, const Memory& memory,
                          at::Tensor& padding) {
    const at::Tensor coarse = memory.level_map(finest_memory_);  // [B,T,D,h,w]
    const int64_t clips = coarse.size(0), frames = coarse.size(1);
    at::Tensor maps = memory_proj_->forward(coarse.flatten(0, 1));
    for (size_t i = 0; i < levels_.size(); ++i) {
      const FeatureLevel& level = pyramid.levels.at(levels_[i]);
      const at::Tensor fine = laterals_[i]->forward(level.features.flatten(0, 1));
      maps = at::upsample_bilinear2d(maps, {fine.size(2), fine.size(3)}, /*align_corners=*/false) +
             fine;
      maps = outputs_[i]->forward(maps);
      if (!norms_.empty()) maps = norms_[i]->forward(maps);
      if (i + 1 < levels_.size()) maps = maps.relu();
      padding = level.padding_mask;
    }
    if (!padding.defined()) padding = padding_of(memory);
    return maps.unflatten(0, {clips, frames});
  }
  /// The padding mask at the size of `maps` [B,T,C,h,w]: that of a level of this size.
  static at::Tensor padding_at(const FeaturePyramid& pyramid, const at::Tensor& maps) {
    for (const FeatureLevel& level : pyramid.levels)
      if (level.features.size(3) == maps.size(3) && level.features.size(4) == maps.size(4))
        return level.padding_mask;
    const at::Tensor& finest = pyramid.levels.front().padding_mask;
    return resize_padding_mask(finest, maps.size(3), maps.size(4));
  }
  torch::nn::Conv2d convolution(int64_t in, int64_t kernel) const {
    return torch::nn::Conv2d(
        torch::nn::Conv2dOptions(in, options_.channels, kernel).padding(kernel / 2));
  }
  /// in: [B,T,n] 1 where a column or row is not padded. out: [B,T,n] its centre as a part of them.
  static at::Tensor centres(const at::Tensor& kept) {
    const at::Tensor index = at::arange(kept.size(2), kept.options()) + 0.5;
    return index / kept.sum(-1, /*keepdim=*/true).clamp_min(1);
  }
  at::Tensor padding_of(const Memory& memory) const {
    const MemoryLevel& level = memory.levels.at(finest_memory_);
    if (!memory.padding_mask.defined())
      return at::zeros({memory.tokens.size(0), memory.num_frames(), level.height, level.width},
                       memory.tokens.options().dtype(at::kBool));
    return memory.padding_mask.narrow(2, level.offset, level.height * level.width)
        .unflatten(2, {level.height, level.width});
  }

  Options options_;
  size_t finest_memory_ = 0;
  std::vector<size_t> levels_;  // of the pyramid, coarsest first
  std::shared_ptr<Mlp> mask_embed_;
  torch::nn::Conv2d memory_proj_{nullptr};
  std::vector<torch::nn::Conv2d> laterals_, outputs_;
  std::vector<torch::nn::GroupNorm> norms_;
  torch::nn::Linear prior_scale_{nullptr};
};

std::shared_ptr<const MaskSource> Prepared::masks(int64_t, const InstanceLayer& embeddings,
                                                  const at::Tensor& boxes) const {
  return head_.source(features_, embeddings, boxes);
}

}  // namespace tessera::mask_head::dot_product

TESSERA_PLUGIN(MaskHead, tessera::mask_head::dot_product::DotProduct, "dot_product",
               "Masks as dot products of embeddings and fine features, with an optional box prior")
