// Swin Transformer (Liu et al. 2021): window attention, shifted in every second block, over four
// stages. Keys are the official ones: patch_embed.{proj,norm}, layers.<stage>.blocks.<i>.{norm1,
// attn.{qkv,proj,relative_position_bias_table},norm2,mlp.{fc1,fc2}},
// layers.<stage>.downsample.{norm, reduction}, norm<stage>. Official checkpoints also hold
// constants that are computed here (relative_position_index, attn_mask) and a classifier (norm,
// head): [weights] ignore. [B,T,3,H,W] of any size -> levels at strides 4, 8, 16, 32. N = B*T
// frames, s = cells of a window.

#include <ATen/ATen.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <array>
#include <map>

#include "core/interfaces/backbone.h"
#include "core/nn/dropout.h"
#include "core/nn/precision.h"
#include "core/nn/recompute.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::backbone::swin {

/// Widths and depths of a published size.
struct Shape {
  int64_t embed_dim;
  std::vector<int64_t> depths, num_heads;
};

const Shape& shape_of(const std::string& variant) {
  static const std::map<std::string, Shape> kShapes = {
      {"tiny", {96, {2, 2, 6, 2}, {3, 6, 12, 24}}},
      {"small", {96, {2, 2, 18, 2}, {3, 6, 12, 24}}},
      {"base", {128, {2, 2, 18, 2}, {4, 8, 16, 32}}},
      {"large", {192, {2, 2, 18, 2}, {6, 12, 24, 48}}}};
  return kShapes.at(variant);
}

struct Options {
  std::string variant = "tiny";
  std::optional<int64_t> embed_dim;
  std::vector<int64_t> depths, num_heads;
  int64_t window_size = 7;
  double mlp_ratio = 4.0;
  bool qkv_bias = true;
  double dropout = 0.0;
  double attention_dropout = 0.0;
  double stochastic_depth = 0.2;
  std::vector<int64_t> output_stages = {1, 2, 3, 4};
  int64_t frozen_stages = 0;
  bool checkpoint_activations = false;

  static void describe(Schema<Options>& schema) {
    schema
        .field("variant", &Options::variant,
               "Published size: tiny, small, base or large (T, S, B, L).")
        .one_of({"tiny", "small", "base", "large"});
    schema
        .field("embed_dim", &Options::embed_dim,
               "Channels of stage 1, instead of the variant's; each later stage doubles them.")
        .at_least(1);
    schema.field("depths", &Options::depths, "Blocks of each stage; empty: the variant's.")
        .at_least(1);
    schema.field("num_heads", &Options::num_heads, "Heads of each stage; empty: the variant's.")
        .at_least(1);
    schema
        .field("window_size", &Options::window_size,
               "Cells of a window's side: 7, or 12 for weights trained on 384 pixels.")
        .at_least(2);
    schema.field("mlp_ratio", &Options::mlp_ratio, "Hidden width of an MLP as a factor.")
        .more_than(0);
    schema.field("qkv_bias", &Options::qkv_bias, "Bias of queries, keys and values.");
    schema.field("dropout", &Options::dropout, "Dropout probability.").between(0, 1);
    schema
        .field("attention_dropout", &Options::attention_dropout,
               "Dropout probability of attention weights.")
        .between(0, 1);
    schema
        .field("stochastic_depth", &Options::stochastic_depth,
               "Probability that training skips the last block's branches for a frame; it rises "
               "linearly from 0 at the first block.")
        .between(0, 1);
    schema
        .field("output_stages", &Options::output_stages,
               "Stages given to the encoder, finest first.")
        .between(1, 4);
    schema
        .field("frozen_stages", &Options::frozen_stages,
               "Parts that take no gradient: 0 none, 1 the patch embedding, 2 stage 1 as well, ...")
        .between(0, 5);
    schema.field("checkpoint_activations", &Options::checkpoint_activations,
                 "Compute every block a second time in the backward pass instead of keeping what "
                 "lies within it: less memory, about a third more time.");
    schema.validate([](const Options& o) {
      for (size_t i = 1; i < o.output_stages.size(); ++i)
        if (o.output_stages[i] <= o.output_stages[i - 1])
          throw ConfigError("output_stages: expected rising stages, got " +
                            std::to_string(o.output_stages[i]) + " after " +
                            std::to_string(o.output_stages[i - 1]) + ".");
      if (o.output_stages.empty())
        throw ConfigError("output_stages: expected at least one stage, got none.");
      for (const auto& [name, list] :
           {std::pair{"depths", &o.depths}, std::pair{"num_heads", &o.num_heads}})
        if (!list->empty() && list->size() != 4)
          throw ConfigError(std::string(name) + ": expected a number for each of 4 stages, got " +
                            std::to_string(list->size()) + ".");
      if (o.stochastic_depth >= 1)
        throw ConfigError("stochastic_depth: expected less than 1, got " +
                          std::to_string(o.stochastic_depth) + ".");
      const Shape shape = o.shape();
      for (size_t i = 0; i < 4; ++i)
        if ((shape.embed_dim << i) % shape.num_heads[i] != 0)
          throw ConfigError("num_heads: expected a divisor of stage " + std::to_string(i + 1) +
                            "'s " + std::to_string(shape.embed_dim << i) + " channels, got " +
                            std::to_string(shape.num_heads[i]) + ".");
    });
  }

  Shape shape() const {
    Shape shape = shape_of(variant);
    if (embed_dim) shape.embed_dim = *embed_dim;
    if (!depths.empty()) shape.depths = depths;
    if (!num_heads.empty()) shape.num_heads = num_heads;
    return shape;
  }
};

torch::nn::LayerNorm layer_norm(int64_t channels) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({channels}));
}

/// Zeros at the right and the bottom up to a multiple of `multiple`, [N,h,w,C] -> [N,h',w',C].
at::Tensor pad_map(const at::Tensor& x, int64_t multiple) {
  const int64_t down = (multiple - x.size(1) % multiple) % multiple,
                right = (multiple - x.size(2) % multiple) % multiple;
  return down == 0 && right == 0 ? x : at::constant_pad_nd(x, {0, 0, 0, right, 0, down});
}

/// [N,h,w,C] -> [N,windows,s,C], windows and the cells in them row by row.
at::Tensor to_windows(const at::Tensor& x, int64_t window) {
  const int64_t rows = x.size(1) / window, columns = x.size(2) / window;
  return x.view({x.size(0), rows, window, columns, window, x.size(3)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({x.size(0), rows * columns, window * window, x.size(3)});
}

/// [N,windows,s,C] -> [N,height,width,C].
at::Tensor from_windows(const at::Tensor& x, int64_t window, int64_t height, int64_t width) {
  return x.view({x.size(0), height / window, width / window, window, window, x.size(3)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({x.size(0), height, width, x.size(3)});
}

/// What is added to attention in shifted windows: -100 between cells that only the shift made
/// neighbours. in: the padded size. out: [windows,1,s,s].
at::Tensor shift_mask(int64_t height, int64_t width, int64_t window, const at::Tensor& like) {
  const int64_t shift = window / 2;
  auto region = [&](int64_t size) {  // 0 | 1 in the last window before the shift's seam | 2 after
    const at::Tensor cell = at::arange(size, like.options().dtype(at::kLong));
    return (cell >= size - window).to(at::kLong) + (cell >= size - shift).to(at::kLong);
  };
  const at::Tensor map = region(height).unsqueeze(1) * 3 + region(width);  // [h,w]
  const at::Tensor cells =
      to_windows(map.view({1, height, width, 1}), window).squeeze(-1).squeeze(0);
  const at::Tensor apart = cells.unsqueeze(1) != cells.unsqueeze(2);  // [windows,s,s]
  return apart.to(like.scalar_type()).mul_(-100.0).unsqueeze(1);
}

class WindowAttention final : public torch::nn::Module {
 public:
  WindowAttention(const Options& options, int64_t dim, int64_t num_heads)
      : options_(options),
        num_heads_(num_heads),
        qkv_(register_module(
            "qkv",
            torch::nn::Linear(torch::nn::LinearOptions(dim, 3 * dim).bias(options.qkv_bias)))),
        proj_(register_module("proj", torch::nn::Linear(dim, dim))) {
    const int64_t window = options.window_size, side = 2 * window - 1;
    table_ =
        register_parameter("relative_position_bias_table", at::zeros({side * side, num_heads}));
    const at::Tensor cell = at::arange(window * window);
    const at::Tensor row = at::floor_divide(cell, window), column = at::remainder(cell, window);
    auto distance = [&](const at::Tensor& at) {
      return at.unsqueeze(1) - at.unsqueeze(0) + window - 1;
    };
    index_ = (distance(row) * side + distance(column)).flatten();  // [s*s], query by key
  }

  /// in: x [N,windows,s,C], mask [windows,1,s,s] or undefined. out: as x.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) {
    const int64_t cells = x.size(2), dim = x.size(3);
    const auto qkv = qkv_->forward(x)
                         .unflatten(-1, {3, num_heads_, dim / num_heads_})
                         .permute({3, 0, 1, 4, 2, 5})  // [3,N,windows,M,s,d]
                         .unbind(0);
    const double scale = 1.0 / std::sqrt(static_cast<double>(dim / num_heads_));
    at::Tensor score = at::matmul(qkv[0] * scale, qkv[1].transpose(-2, -1)) + bias(cells);
    if (mask.defined()) score = score + mask;
    const at::Tensor weights =
        with_dropout(score.softmax(-1), options_.attention_dropout, is_training());
    const at::Tensor value = at::matmul(weights, qkv[2]).transpose(2, 3).flatten(3);
    return with_dropout(proj_->forward(value), options_.dropout, is_training());
  }

  void reset() {
    torch::NoGradGuard no_grad;
    table_.normal_(0.0, 0.02).clamp_(-2.0, 2.0);
  }

 private:
  /// [M,s,s].
  at::Tensor bias(int64_t cells) {
    if (index_.device() != table_.device()) index_ = index_.to(table_.device());
    return table_.index_select(0, index_).view({cells, cells, num_heads_}).permute({2, 0, 1});
  }

  Options options_;
  int64_t num_heads_;
  torch::nn::Linear qkv_, proj_;
  at::Tensor table_;
  at::Tensor index_;  // a constant: no part of the state
};

class Mlp final : public torch::nn::Module {
 public:
  Mlp(const Options& options, int64_t dim)
      : dropout_(options.dropout),
        fc1_(register_module(
            "fc1", torch::nn::Linear(
                       dim, static_cast<int64_t>(static_cast<double>(dim) * options.mlp_ratio)))),
        fc2_(register_module("fc2", torch::nn::Linear(fc1_->options.out_features(), dim))) {}
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor hidden = with_dropout(at::gelu(fc1_->forward(x)), dropout_, is_training());
    return with_dropout(fc2_->forward(hidden), dropout_, is_training());
  }

 private:
  double dropout_;
  torch::nn::Linear fc1_, fc2_;
};

class Block final : public torch::nn::Module {
 public:
  Block(const Options& options, int64_t dim, int64_t num_heads, bool shifted, double skip)
      : window_(options.window_size),
        shift_(shifted ? options.window_size / 2 : 0),
        skip_(skip),
        norm1_(register_module("norm1", layer_norm(dim))),
        attn_(register_module("attn", std::make_shared<WindowAttention>(options, dim, num_heads))),
        norm2_(register_module("norm2", layer_norm(dim))),
        mlp_(register_module("mlp", std::make_shared<Mlp>(options, dim))) {}

  /// in: x [N,h,w,C], mask: shift_mask() of the padded size. out: as x.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& mask) {
    const at::Tensor y = x + maybe_skip(attend(norm1_->forward(x), mask));
    return y + maybe_skip(mlp_->forward(norm2_->forward(y)));
  }
  bool shifted() const { return shift_ > 0; }

 private:
  at::Tensor attend(const at::Tensor& x, const at::Tensor& mask) {
    // Padding comes after the norm, so that it is zero for queries, keys and values alike.
    at::Tensor map = pad_map(x, window_);
    const int64_t height = map.size(1), width = map.size(2);
    if (shift_ > 0) map = at::roll(map, {-shift_, -shift_}, {1, 2});
    map = from_windows(attn_->forward(to_windows(map, window_), shift_ > 0 ? mask : at::Tensor()),
                       window_, height, width);
    if (shift_ > 0) map = at::roll(map, {shift_, shift_}, {1, 2});
    return map.narrow(1, 0, x.size(1)).narrow(2, 0, x.size(2));
  }
  /// Stochastic depth (Huang et al. 2016), frame by frame; what stays is scaled up to keep the
  /// mean.
  at::Tensor maybe_skip(const at::Tensor& branch) const {
    if (!is_training() || skip_ == 0) return branch;
    const at::Tensor kept = at::empty({branch.size(0), 1, 1, 1}, branch.options());
    return branch * kept.bernoulli_(1 - skip_).div_(1 - skip_);
  }

  int64_t window_, shift_;
  double skip_;
  torch::nn::LayerNorm norm1_;
  std::shared_ptr<WindowAttention> attn_;
  torch::nn::LayerNorm norm2_;
  std::shared_ptr<Mlp> mlp_;
};

/// Joins 2x2 cells: [N,h,w,C] -> [N,h/2,w/2,2C], odd sizes padded with zeros.
class PatchMerging final : public torch::nn::Module {
 public:
  explicit PatchMerging(int64_t dim)
      : reduction_(register_module(
            "reduction",
            torch::nn::Linear(torch::nn::LinearOptions(4 * dim, 2 * dim).bias(false)))),
        norm_(register_module("norm", layer_norm(4 * dim))) {}
  at::Tensor forward(const at::Tensor& x) {
    const at::Tensor map = pad_map(x, 2);
    const int64_t height = map.size(1), width = map.size(2);
    auto cells = [&](int64_t row, int64_t column) {
      return map.slice(1, row, height, 2).slice(2, column, width, 2);
    };
    return reduction_->forward(
        norm_->forward(at::cat({cells(0, 0), cells(1, 0), cells(0, 1), cells(1, 1)}, -1)));
  }

 private:
  torch::nn::Linear reduction_;
  torch::nn::LayerNorm norm_;
};

class Stage final : public torch::nn::Module {
 public:
  Stage(const Options& options, int64_t dim, int64_t num_heads, const std::vector<double>& skips,
        bool merges)
      : window_(options.window_size), checkpoint_(options.checkpoint_activations) {
    torch::nn::ModuleList blocks;
    for (size_t i = 0; i < skips.size(); ++i) {
      blocks_.push_back(std::make_shared<Block>(options, dim, num_heads, i % 2 == 1, skips[i]));
      blocks->push_back(blocks_.back());
    }
    register_module("blocks", blocks);
    if (merges) downsample_ = register_module("downsample", std::make_shared<PatchMerging>(dim));
  }

  /// in, out: [N,h,w,C]; `recomputes`: block by block, whatever the options say.
  at::Tensor forward(at::Tensor x, bool recomputes) {
    auto padded = [&](int64_t size) { return (size + window_ - 1) / window_ * window_; };
    at::Tensor mask;
    if (blocks_.size() > 1) mask = shift_mask(padded(x.size(1)), padded(x.size(2)), window_, x);
    for (const auto& block : blocks_) {
      if (recomputes || (checkpoint_ && is_training()))
        x = recompute([block, mask](const at::Tensor& y) { return block->forward(y, mask); }, x,
                      block->parameters());
      else
        x = block->forward(x, mask);
    }
    return x;
  }
  at::Tensor merge(const at::Tensor& x) { return downsample_->forward(x); }

 private:
  int64_t window_;
  bool checkpoint_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<PatchMerging> downsample_;
};

/// 4x4 pixels -> one cell: [N,3,H,W] -> [N,h,w,C], sides padded with zeros.
class PatchEmbed final : public torch::nn::Module {
 public:
  explicit PatchEmbed(int64_t dim)
      : proj_(register_module(
            "proj", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, dim, kPatch).stride(kPatch)))),
        norm_(register_module("norm", layer_norm(dim))) {}
  at::Tensor forward(const at::Tensor& frames) {
    const int64_t down = (kPatch - frames.size(2) % kPatch) % kPatch,
                  right = (kPatch - frames.size(3) % kPatch) % kPatch;
    const at::Tensor padded =
        down == 0 && right == 0 ? frames : at::constant_pad_nd(frames, {0, right, 0, down});
    // The sum that every block adds to is float32 under autocast, too.
    return norm_->forward(
        to_full_precision(proj_->forward(padded)).permute({0, 2, 3, 1}).contiguous());
  }

 private:
  static constexpr int64_t kPatch = 4;
  torch::nn::Conv2d proj_;
  torch::nn::LayerNorm norm_;
};

class Swin final : public Backbone {
 public:
  using Options = swin::Options;

  Swin(const Options& options, const BuildContext&) : options_(options), shape_(options.shape()) {
    patch_embed_ = register_module("patch_embed", std::make_shared<PatchEmbed>(shape_.embed_dim));
    int64_t total = 0, block = 0;
    for (const int64_t depth : shape_.depths) total += depth;
    const int64_t last = options.output_stages.back();
    torch::nn::ModuleList layers;
    for (int64_t stage = 1; stage <= last; ++stage) {
      std::vector<double> skips;
      for (int64_t i = 0; i < shape_.depths[stage - 1]; ++i, ++block)
        skips.push_back(total > 1 ? options.stochastic_depth * static_cast<double>(block) /
                                        static_cast<double>(total - 1)
                                  : 0.0);
      stages_.push_back(std::make_shared<Stage>(options, channels(stage),
                                                shape_.num_heads[stage - 1], skips, stage < last));
      layers->push_back(stages_.back());
    }
    register_module("layers", layers);
    for (const int64_t stage : options.output_stages)
      norms_.emplace(
          stage, register_module("norm" + std::to_string(stage - 1), layer_norm(channels(stage))));
    reset();
    freeze();
  }

  bool recomputes_segments() const override { return true; }  // block by block

  FeaturePyramid forward(const ClipBatch& batch, const ForwardContext& context) override {
    ShapeBinding sizes;
    expect_shape(batch.frames, "[B,T,3,H,W]", "frames", sizes);
    expect_shape(batch.padding_mask, "[B,T,H,W]", "padding_mask", sizes);
    const int64_t clips = batch.frames.size(0), frames = batch.frames.size(1);
    at::Tensor x = patch_embed_->forward(batch.frames.flatten(0, 1));  // [N,h,w,C]
    context.look("backbone.patch_embed", [&] { return by_clip(x, clips, frames); });
    FeaturePyramid pyramid;
    for (size_t i = 0; i < stages_.size(); ++i) {
      const int64_t stage = static_cast<int64_t>(i) + 1;
      x = stages_[i]->forward(x, context.recompute);
      if (const auto norm = norms_.find(stage); norm != norms_.end()) {
        FeatureLevel level{by_clip(norm->second->forward(x), clips, frames),
                           resize_padding_mask(batch.padding_mask, x.size(1), x.size(2)),
                           stride(stage)};
        context.look("backbone." + std::to_string(pyramid.levels.size()),
                     [&] { return level.features; });
        pyramid.levels.push_back(std::move(level));
      }
      if (i + 1 < stages_.size()) x = stages_[i]->merge(x);
    }
    return pyramid;
  }

  PyramidSpec spec() const override {
    PyramidSpec spec;
    for (const int64_t stage : options_.output_stages)
      spec.levels.push_back({channels(stage), stride(stage)});
    return spec;
  }

 private:
  int64_t channels(int64_t stage) const { return shape_.embed_dim << (stage - 1); }
  static int64_t stride(int64_t stage) { return int64_t{2} << stage; }
  /// [N,h,w,C] -> [B,T,C,h,w].
  static at::Tensor by_clip(const at::Tensor& x, int64_t clips, int64_t frames) {
    return x.permute({0, 3, 1, 2}).contiguous().unflatten(0, {clips, frames});
  }
  /// Linear layers: normal with 0.02, bias 0; the convolution keeps its own start (official code).
  void reset() {
    torch::NoGradGuard no_grad;
    for (auto& module : modules(false)) {
      if (auto* layer = module->as<torch::nn::LinearImpl>()) {
        layer->weight.normal_(0.0, 0.02).clamp_(-2.0, 2.0);
        if (layer->bias.defined()) layer->bias.zero_();
      } else if (auto* attention = module->as<WindowAttention>()) {
        attention->reset();
      }
    }
  }
  void freeze() {
    for (auto& item : named_parameters()) {
      const std::string& name = item.key();
      int64_t part = 1;  // patch_embed
      if (name.starts_with("layers."))
        part = name[7] - '0' + 2;
      else if (name.starts_with("norm"))
        part = name[4] - '0' + 2;
      if (part <= options_.frozen_stages) item.value().set_requires_grad(false);
    }
  }

  Options options_;
  Shape shape_;
  std::shared_ptr<PatchEmbed> patch_embed_;
  std::vector<std::shared_ptr<Stage>> stages_;
  std::map<int64_t, torch::nn::LayerNorm> norms_;  // by stage, 1 to 4
};

}  // namespace tessera::backbone::swin

TESSERA_PLUGIN(Backbone, tessera::backbone::swin::Swin, "swin",
               "Swin Transformer T, S, B, L feature extractor, frame by frame")
