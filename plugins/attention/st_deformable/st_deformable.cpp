// Spatio-temporal deformable attention, Deformable VisTR, Eq. 2:
//   STDeformAttn(z_q, p_q, x) = sum_m W_m [ sum_k A_mqk W'_m x(p_q + dp_mqk) ]
// p_q = (x, y, t), dp unconstrained in cells and frames, trilinear, zero outside; A is a softmax
// over the K points. Keys as Deformable-DETR's: sampling_offsets, attention_weights, value_proj,
// output_proj.

#include <ATen/ATen.h>
#include <cmath>

#include "core/interfaces/attention.h"
#include "core/nn/feed_forward.h"
#include "core/nn/head_direction.h"
#include "core/nn/precision.h"
#include "core/ops/st_deform_attn.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::attention::st_deformable {

struct Options {
  int64_t num_heads = 8;
  int64_t num_points = 32;

  static void describe(Schema<Options>& schema) {
    schema.field("num_heads", &Options::num_heads, "Heads M; they divide the width D.").at_least(1);
    schema.field("num_points", &Options::num_points, "Points K that a head samples for a query.")
        .at_least(1);
  }
};

class StDeformable final : public Attention {
 public:
  using Options = st_deformable::Options;

  StDeformable(const Options& options, const BuildContext& context)
      : options_(options),
        dim_(context.attention.dim),
        sampling_offsets_(dim_, options.num_heads * options.num_points * 3),
        attention_weights_(dim_, options.num_heads * options.num_points),
        value_proj_(dim_, dim_) {
    if (dim_ % options.num_heads != 0)
      throw ConfigError("num_heads: expected a divisor of the width " + std::to_string(dim_) +
                        ", got " + std::to_string(options.num_heads) + ".");
    if (context.attention.strides.size() != 1)
      throw ConfigError("st_deformable: expected a memory of one level, got " +
                        std::to_string(context.attention.strides.size()) +
                        ". Set the encoder's feature_levels to one level.");
    register_module("sampling_offsets", sampling_offsets_);
    register_module("attention_weights", attention_weights_);
    register_module("value_proj", value_proj_);
    for (int64_t i = 0; i < context.attention.num_outputs; ++i) {
      output_proj_.emplace_back(dim_, dim_);
      xavier_reset(output_proj_.back());
      register_module(i == 0 ? "output_proj" : "output_proj_" + std::to_string(i),
                      output_proj_.back());
    }
    reset();
  }

  AttentionTraits traits() const override {
    AttentionTraits traits;
    traits.reference_dim = 3;
    return traits;
  }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext& context) override {
    ShapeBinding sizes{{'D', dim_}};
    expect_shape(input.query, "[B,1,Q,D]", "st_deformable query", sizes);
    expect_shape(input.references, "[B,1,Q,3]", "st_deformable references", sizes);
    expect_shape(input.memory.tokens, "[B,T,S,D]", "st_deformable memory", sizes);
    const int64_t clips = sizes['B'], queries = sizes['Q'], heads = options_.num_heads,
                  points = options_.num_points;
    const MemoryLevel& level = input.memory.levels.at(0);
    const int64_t frames = input.memory.num_frames();

    at::Tensor value = value_proj_->forward(input.memory.tokens);
    if (input.memory.padding_mask.defined())
      value = value.masked_fill(input.memory.padding_mask.unsqueeze(-1), 0.0);
    value = value.reshape({clips, frames * level.height * level.width, heads, dim_ / heads});

    const at::Tensor query =
        (input.query_position.defined() ? input.query + input.query_position : input.query)
            .squeeze(1);
    const at::Tensor offsets = to_full_precision(sampling_offsets_->forward(query))
                                   .reshape({clips, queries, heads, points, 3});
    const at::Tensor weights =
        attention_weights_->forward(query).reshape({clips, queries, heads, points}).softmax(-1);
    // All frames of a clip have one size, so frame 0 tells the unpadded part of the volume.
    at::Tensor extent = at::ones({clips, 3}, offsets.options());
    if (input.memory.valid_ratio.defined())
      extent.narrow(1, 0, 2).copy_(input.memory.valid_ratio.select(1, 0).select(1, 0));
    const at::Tensor references = input.references.squeeze(1) * extent.unsqueeze(1);  // [B,Lq,3]
    const at::Tensor cells =
        at::tensor({static_cast<double>(level.width), static_cast<double>(level.height),
                    static_cast<double>(frames)},
                   offsets.options());
    const at::Tensor locations = references.unsqueeze(2).unsqueeze(2) + offsets / cells;
    context.look("sampling_locations", [&] { return locations; });

    const at::Tensor read =
        st_deform_attn(value, {frames, level.height, level.width}, locations, weights);  // [B,Lq,D]
    AttentionOutput output;
    for (auto& projection : output_proj_)
      output.values.push_back(projection->forward(read).unsqueeze(1));
    output.sampling = {locations.unsqueeze(1), weights.unsqueeze(1)};
    return output;
  }

 private:
  // Deformable-DETR's start, carried to three axes: head m looks along direction m of the plane,
  // point k at distance k + 1; a third of the points each look back, at the frame, and forward.
  void reset() {
    torch::NoGradGuard no_grad;
    sampling_offsets_->weight.zero_();
    auto bias = sampling_offsets_->bias.view({options_.num_heads, options_.num_points, 3});
    for (int64_t m = 0; m < options_.num_heads; ++m) {
      const auto [x, y] = head_direction(m, options_.num_heads);
      for (int64_t k = 0; k < options_.num_points; ++k) {
        const double distance = static_cast<double>(k / 3 + 1);
        bias[m][k][0] = x * distance;
        bias[m][k][1] = y * distance;
        bias[m][k][2] = static_cast<double>((k + 1) % 3 - 1);
      }
    }
    attention_weights_->weight.zero_();
    attention_weights_->bias.zero_();
    xavier_reset(value_proj_);
  }

  Options options_;
  int64_t dim_;
  torch::nn::Linear sampling_offsets_, attention_weights_, value_proj_;
  std::vector<torch::nn::Linear> output_proj_;
};

}  // namespace tessera::attention::st_deformable

TESSERA_PLUGIN(Attention, tessera::attention::st_deformable::StDeformable, "st_deformable",
               "Spatio-temporal deformable attention (Deformable VisTR, Eq. 2)")
