// Dense multi-head attention. Keys as torch's MultiheadAttention:
// in_proj_weight [3D,D] (q, k, v stacked), in_proj_bias, out_proj. Further outputs: out_proj_1, ...
// Query and key take their positions, values do not (DETR, Carion et al. 2020).

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <cmath>
#include <limits>

#include "core/interfaces/attention.h"
#include "core/nn/dot_product_attention.h"
#include "core/nn/feed_forward.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::attention::dense {

struct Options {
  int64_t num_heads = 8;
  std::string scope = "clip";

  static void describe(Schema<Options>& schema) {
    schema.field("num_heads", &Options::num_heads, "Heads M; they divide the width D.").at_least(1);
    schema
        .field("scope", &Options::scope,
               "clip: over all frames together; frame: every frame by itself.")
        .one_of({"clip", "frame"});
  }
};

class Dense final : public Attention {
 public:
  using Options = dense::Options;

  Dense(const Options& options, const BuildContext& context)
      : options_(options), dim_(context.attention.dim), dropout_(context.attention.dropout) {
    if (dim_ % options.num_heads != 0)
      throw ConfigError("num_heads: expected a divisor of the width " + std::to_string(dim_) +
                        ", got " + std::to_string(options.num_heads) + ".");
    in_proj_weight_ = register_parameter("in_proj_weight", at::empty({3 * dim_, dim_}));
    in_proj_bias_ = register_parameter("in_proj_bias", at::zeros(3 * dim_));
    torch::nn::init::xavier_uniform_(in_proj_weight_);
    for (int64_t i = 0; i < context.attention.num_outputs; ++i) {
      out_proj_.emplace_back(dim_, dim_);
      xavier_reset(out_proj_.back());
      register_module(i == 0 ? "out_proj" : "out_proj_" + std::to_string(i), out_proj_.back());
    }
  }

  AttentionTraits traits() const override {
    AttentionTraits traits;
    traits.scope =
        options_.scope == "clip" ? AttentionTraits::Scope::clip : AttentionTraits::Scope::frame;
    traits.uses_blocked = true;
    traits.multi_level = true;
    return traits;
  }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext&) override {
    ShapeBinding sizes{{'D', dim_}};
    expect_shape(input.query, "[B,G,Q,D]", "attention query", sizes);
    expect_shape(input.memory.tokens, "[B,T,S,D]", "attention memory", sizes);
    const bool whole_clip = options_.scope == "clip";
    const int64_t clips = sizes['B'], groups = sizes['G'], queries = sizes['Q'];
    // [B,T,S,..] -> [B*G,keys,..]
    auto group = [&](const at::Tensor& x) {
      return whole_clip ? x.flatten(1, 2) : x.flatten(0, 1);
    };
    const at::Tensor& tokens = input.memory.tokens;
    const at::Tensor value_in = group(tokens);
    const at::Tensor key_in =
        input.memory.position.defined() ? group(tokens + input.memory.position) : value_in;
    const at::Tensor query_in =
        (input.query_position.defined() ? input.query + input.query_position : input.query)
            .flatten(0, 1);

    const at::Tensor q = heads(project(query_in, 0)), k = heads(project(key_in, 1)),
                     v = heads(project(value_in, 2));
    at::Tensor blocked;  // [B*G,1,Lq|1,keys]
    if (input.memory.padding_mask.defined())
      blocked = group(input.memory.padding_mask).unsqueeze(1).unsqueeze(1);
    if (input.blocked.defined()) {
      const at::Tensor more = input.blocked.flatten(0, 1).unsqueeze(1);
      blocked = blocked.defined() ? blocked.logical_or(more) : more;
    }
    const at::Tensor read = dot_product_attention(q, k, v, blocked, is_training() ? dropout_ : 0.0);
    const at::Tensor joined = read.transpose(1, 2).reshape({clips, groups, queries, dim_});
    AttentionOutput output;
    for (auto& projection : out_proj_) output.values.push_back(projection->forward(joined));
    if (input.wants_sampling)
      output.sampling.weights = weights(q, k, blocked).unflatten(0, {clips, groups});
    return output;
  }

 private:
  at::Tensor project(const at::Tensor& x, int64_t part) const {
    return at::linear(x, in_proj_weight_.narrow(0, part * dim_, dim_),
                      in_proj_bias_.narrow(0, part * dim_, dim_));
  }
  /// What dot_product_attention keeps to itself, [N,M,Lq,keys].
  static at::Tensor weights(const at::Tensor& q, const at::Tensor& k, const at::Tensor& blocked) {
    at::Tensor score = q.matmul(k.transpose(-1, -2)) / std::sqrt(static_cast<double>(q.size(-1)));
    if (blocked.defined())
      score = score.masked_fill(blocked, -std::numeric_limits<double>::infinity());
    return score.softmax(-1);
  }
  at::Tensor heads(const at::Tensor& x) const {  // [N,L,D] -> [N,M,L,D/M]
    return x.unflatten(-1, {options_.num_heads, dim_ / options_.num_heads}).transpose(1, 2);
  }

  Options options_;
  int64_t dim_;
  double dropout_;
  at::Tensor in_proj_weight_, in_proj_bias_;
  std::vector<torch::nn::Linear> out_proj_;
};

}  // namespace tessera::attention::dense

TESSERA_PLUGIN(Attention, tessera::attention::dense::Dense, "dense",
               "Dense multi-head attention over the clip or frame by frame")
