// Multi-scale spatio-temporal split attention (MS-STS VIS, Thawakar et al. 2022), built from the
// paper's figure; its published code has none. Beside deformable attention in an encoder layer, on
// the same tokens and positions. Two parts:
//   intra-scale, for each level: Linear, attention over space and time, LayerNorm, FFN;
//   inter-scale, finest level first: a level and the next coarser one (the coarsest: its own input)
//   through a Linear each, joined; LayerNorm, attention, dropout, LayerNorm, FFN. The finer half is
//   the level's output, the coarser half goes on as the next level.
// "Split": attention over space and time is attention over time, cell by cell, and then over space,
// frame by frame: T*S*(T + S) pairs instead of (T*S)^2.
// Choices that the figure leaves open: widths and heads are options, every attention and FFN has a
// residual connection, LayerNorm follows the pair of attentions, weights are shared by the levels
// unless share_weights = false. Keys: intra (or intra_<i>, finest level first) and inter
// (inter_<i>): fine_proj, coarse_proj, temporal_attn, spatial_attn, norm1, norm2, linear1, linear2;
// in_proj (where dim is not that of the tokens), out_proj.

#include <ATen/ATen.h>
#include <torch/nn/modules/normalization.h>

#include <algorithm>
#include <numeric>

#include "core/interfaces/attention.h"
#include "core/nn/dropout.h"
#include "core/nn/feed_forward.h"
#include "core/nn/self_attention.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::attention::ms_sts {

struct Options {
  std::optional<int64_t> dim;
  int64_t num_heads = 8;
  int64_t feed_forward_dim = 512;
  bool with_intra_scale = true;
  bool with_inter_scale = true;
  bool share_weights = true;

  static void describe(Schema<Options>& schema) {
    schema.field("dim", &Options::dim, "Width C inside; by default that of the tokens.")
        .at_least(1);
    schema.field("num_heads", &Options::num_heads, "Heads of every attention; they divide dim.")
        .at_least(1);
    schema.field("feed_forward_dim", &Options::feed_forward_dim, "Hidden width of the FFNs.")
        .at_least(1);
    schema.field("with_intra_scale", &Options::with_intra_scale,
                 "Attention over space and time within each level.");
    schema.field("with_inter_scale", &Options::with_inter_scale,
                 "Attention over each level and the next coarser one.");
    schema.field("share_weights", &Options::share_weights,
                 "All levels have the same weights; false: each has its own.");
    schema.validate([](const Options& o) {
      if (!o.with_intra_scale && !o.with_inter_scale)
        throw ConfigError(
            "with_inter_scale: expected intra-scale or inter-scale attention, got neither.");
    });
  }
};

/// Attention over time and then over space, and an FFN. With `is_joint`, on a level joined with the
/// next: a Linear for either, and a norm in front.
class SplitLayer final : public torch::nn::Module {
 public:
  SplitLayer(const Options& options, int64_t dim, bool is_joint, double dropout)
      : dropout_(dropout),
        temporal_attn_(register_module(
            "temporal_attn",
            std::make_shared<SelfAttention>(dim, options.num_heads, false, dropout))),
        spatial_attn_(register_module("spatial_attn", std::make_shared<SelfAttention>(
                                                          dim, options.num_heads, false, dropout))),
        fine_proj_(linear("fine_proj", dim, dim)),
        linear1_(linear("linear1", dim, options.feed_forward_dim)),
        linear2_(linear("linear2", options.feed_forward_dim, dim)) {
    if (is_joint) {
      coarse_proj_ = linear("coarse_proj", dim, dim);
      norm1_ = norm("norm1", dim);
    }
    norm2_ = norm("norm2", dim);
  }

  /// in: fine [B,T,S,C]; coarse [B,T,S',C] or undefined; padding [B,T,S + S'] or undefined.
  /// out: [B,T,S + S',C].
  at::Tensor forward(const at::Tensor& fine, const at::Tensor& coarse, const at::Tensor& padding) {
    at::Tensor x = fine_proj_->forward(fine);
    if (coarse.defined()) x = norm1_->forward(at::cat({x, coarse_proj_->forward(coarse)}, 2));
    const int64_t clips = x.size(0), frames = x.size(1), cells = x.size(2), dim = x.size(3);
    // A clip's frames have one size: a cell is padded in all of them or in none, and what padded
    // cells hold is read by nobody.
    const at::Tensor over_time = temporal_attn_->forward(x.transpose(1, 2).flatten(0, 1))
                                     .view({clips, cells, frames, dim})
                                     .transpose(1, 2);
    x = x + drop(over_time);
    const at::Tensor over_space =
        spatial_attn_
            ->forward(x.flatten(0, 1), padding.defined() ? padding.flatten(0, 1) : at::Tensor())
            .view(x.sizes());
    x = norm2_->forward(x + drop(over_space));
    // Not activated_linear(): several levels share these layers, and of a weight that goes into
    // at::linear itself autocast keeps the cast, which sums its gradients in half precision.
    return x + drop(linear2_->forward(
                   with_relu_dropout(linear1_->forward(x), dropout_, is_training())));
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
  at::Tensor drop(const at::Tensor& x) { return with_dropout(x, dropout_, is_training()); }

  double dropout_;
  std::shared_ptr<SelfAttention> temporal_attn_, spatial_attn_;
  torch::nn::Linear fine_proj_, linear1_, linear2_, coarse_proj_{nullptr};
  torch::nn::LayerNorm norm1_{nullptr}, norm2_{nullptr};
};

class MsSts final : public Attention {
 public:
  using Options = ms_sts::Options;

  MsSts(const Options& options, const BuildContext& context)
      : options_(options), token_dim_(context.attention.dim) {
    const AttentionSpec& spec = context.attention;
    if (spec.num_outputs != 1)
      throw ConfigError("ms_sts: expected one output projection, got " +
                        std::to_string(spec.num_outputs) + ".");
    const int64_t dim = options.dim.value_or(token_dim_);
    if (dim % options.num_heads != 0)
      throw ConfigError("num_heads: expected a divisor of dim = " + std::to_string(dim) + ", got " +
                        std::to_string(options.num_heads) + ".");
    order_.resize(spec.strides.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](size_t a, size_t b) { return spec.strides[a] < spec.strides[b]; });
    const size_t count = options.share_weights ? 1 : order_.size();
    for (size_t i = 0; i < count; ++i) {
      const std::string index = options.share_weights ? "" : "_" + std::to_string(i);
      if (options.with_intra_scale)
        intra_.push_back(register_module(
            "intra" + index, std::make_shared<SplitLayer>(options, dim, false, spec.dropout)));
      if (options.with_inter_scale)
        inter_.push_back(register_module(
            "inter" + index, std::make_shared<SplitLayer>(options, dim, true, spec.dropout)));
    }
    if (dim != token_dim_) {
      in_proj_ = torch::nn::Linear(token_dim_, dim);
      xavier_reset(in_proj_);
      register_module("in_proj", in_proj_);
    }
    out_proj_ = torch::nn::Linear(dim, token_dim_);
    xavier_reset(out_proj_);
    register_module("out_proj", out_proj_);
  }

  AttentionTraits traits() const override {
    AttentionTraits traits;
    traits.scope = AttentionTraits::Scope::frame;
    traits.multi_level = traits.memory_to_memory_only = true;
    return traits;
  }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext&) override {
    const Memory& memory = input.memory;
    ShapeBinding sizes{{'D', token_dim_}};
    expect_shape(memory.tokens, "[B,T,S,D]", "ms_sts memory", sizes);
    expect_shape(input.query, "[B,T,S,D]", "ms_sts query", sizes);
    if (memory.levels.size() != order_.size())
      throw ShapeError("ms_sts memory: expected " + std::to_string(order_.size()) +
                       " levels, got " + std::to_string(memory.levels.size()) + ".");
    at::Tensor x =
        input.query_position.defined() ? input.query + input.query_position : input.query;
    if (in_proj_) x = in_proj_->forward(x);
    std::vector<at::Tensor> own, padding, level;  // finest first: [B,T,S_l,..]
    for (const size_t l : order_) {
      const int64_t offset = memory.levels[l].offset,
                    cells = memory.levels[l].height * memory.levels[l].width;
      own.push_back(x.narrow(2, offset, cells));
      padding.push_back(memory.padding_mask.defined() ? memory.padding_mask.narrow(2, offset, cells)
                                                      : at::Tensor());
    }
    level = own;
    if (options_.with_intra_scale)
      for (size_t i = 0; i < level.size(); ++i)
        level[i] = layer(intra_, i).forward(level[i], {}, padding[i]);
    if (options_.with_inter_scale) join(own, padding, level);
    std::vector<at::Tensor> back(order_.size());
    for (size_t i = 0; i < order_.size(); ++i) back[order_[i]] = level[i];
    return {{out_proj_->forward(at::cat(back, 2))}, {}};
  }

 private:
  /// Inter-scale attention, finest level first.
  void join(const std::vector<at::Tensor>& own, const std::vector<at::Tensor>& padding,
            std::vector<at::Tensor>& level) {
    at::Tensor next = level[0];  // what comes down from the finer levels
    for (size_t i = 0; i < level.size(); ++i) {
      const bool is_last = i + 1 == level.size();
      const size_t other = is_last ? i : i + 1;
      const at::Tensor& coarse = is_last ? own[i] : level[other];
      const at::Tensor masked =
          padding[i].defined() ? at::cat({padding[i], padding[other]}, 2) : at::Tensor();
      const at::Tensor joined = layer(inter_, i).forward(next, coarse, masked);
      const int64_t cells = next.size(2);
      level[i] = joined.narrow(2, 0, cells);
      next = joined.narrow(2, cells, joined.size(2) - cells);
    }
  }
  SplitLayer& layer(const std::vector<std::shared_ptr<SplitLayer>>& layers, size_t level) const {
    return *layers[options_.share_weights ? 0 : level];
  }

  Options options_;
  int64_t token_dim_;
  std::vector<size_t> order_;  // of the memory's levels, finest first
  std::vector<std::shared_ptr<SplitLayer>> intra_, inter_;
  torch::nn::Linear in_proj_{nullptr}, out_proj_{nullptr};
};

}  // namespace tessera::attention::ms_sts

TESSERA_PLUGIN(Attention, tessera::attention::ms_sts::MsSts, "ms_sts",
               "Multi-scale spatio-temporal split attention of a memory's tokens (MS-STS VIS)")
