// Deformable attention over time as the released code of DefVIS does it: every frame is one level
// of an ordinary 2-D multi-scale deformable attention, plus one level of learnt vectors. A query's
// reference is its own (x, y) on every frame; one softmax runs over all levels and points; there is
// no temporal offset and no interpolation in time. Kept for comparison with st_deformable.

#include <ATen/ATen.h>
#include <cmath>

#include "core/interfaces/attention.h"
#include "core/nn/feed_forward.h"
#include "core/nn/head_direction.h"
#include "core/nn/precision.h"
#include "core/ops/ms_deform_attn.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::attention::frames_as_levels {

struct Options {
  int64_t num_heads = 8;
  int64_t num_points = 6;
  int64_t learnt_height = 8;
  int64_t learnt_width = 20;

  static void describe(Schema<Options>& schema) {
    schema.field("num_heads", &Options::num_heads, "Heads M; they divide the width D.").at_least(1);
    schema.field("num_points", &Options::num_points, "Points that a head samples on every frame.")
        .at_least(1);
    schema
        .field("learnt_height", &Options::learnt_height,
               "Height in cells of the level of learnt vectors; 0 for none.")
        .at_least(0);
    schema
        .field("learnt_width", &Options::learnt_width,
               "Width in cells of the level of learnt vectors.")
        .at_least(1);
  }
};

class FramesAsLevels final : public Attention {
 public:
  using Options = frames_as_levels::Options;

  FramesAsLevels(const Options& options, const BuildContext& context)
      : options_(options),
        dim_(context.attention.dim),
        frames_(context.clip.num_frames),
        num_levels_(frames_ + (options.learnt_height > 0 ? 1 : 0)),
        sampling_offsets_(dim_, options.num_heads * num_levels_ * options.num_points * 2),
        attention_weights_(dim_, options.num_heads * num_levels_ * options.num_points),
        value_proj_(dim_, dim_) {
    if (dim_ % options.num_heads != 0)
      throw ConfigError("num_heads: expected a divisor of the width " + std::to_string(dim_) +
                        ", got " + std::to_string(options.num_heads) + ".");
    if (context.attention.strides.size() != 1)
      throw ConfigError("frames_as_levels: expected a memory of one level, got " +
                        std::to_string(context.attention.strides.size()) + ".");
    register_module("sampling_offsets", sampling_offsets_);
    register_module("attention_weights", attention_weights_);
    register_module("value_proj", value_proj_);
    if (options.learnt_height > 0)
      learnt_level_ = register_parameter(
          "learnt_level", at::randn({options.learnt_height * options.learnt_width, dim_}));
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
    traits.reference_dim = 2;
    traits.fixed_frames = frames_;
    return traits;
  }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext&) override {
    ShapeBinding sizes{{'D', dim_}, {'T', frames_}};
    expect_shape(input.query, "[B,1,Q,D]", "frames_as_levels query", sizes);
    expect_shape(input.references, "[B,1,Q,2]", "frames_as_levels references", sizes);
    expect_shape(input.memory.tokens, "[B,T,S,D]", "frames_as_levels memory", sizes);
    const int64_t clips = sizes['B'], queries = sizes['Q'], heads = options_.num_heads,
                  points = options_.num_points;
    const MemoryLevel& level = input.memory.levels.at(0);

    at::Tensor value = value_proj_->forward(input.memory.tokens);
    if (input.memory.padding_mask.defined())
      value = value.masked_fill(input.memory.padding_mask.unsqueeze(-1), 0.0);
    value = value.flatten(1, 2);
    std::vector<std::array<int64_t, 2>> shapes(frames_, {level.height, level.width});
    if (learnt_level_.defined()) {
      shapes.push_back({options_.learnt_height, options_.learnt_width});
      value = at::cat({value, value_proj_->forward(learnt_level_).expand({clips, -1, -1})}, 1);
    }
    value = value.unflatten(-1, {heads, dim_ / heads});

    const at::Tensor query =
        (input.query_position.defined() ? input.query + input.query_position : input.query)
            .squeeze(1);
    const at::Tensor offsets = to_full_precision(sampling_offsets_->forward(query))
                                   .reshape({clips, queries, heads, num_levels_, points, 2});
    const at::Tensor weights = attention_weights_->forward(query)
                                   .reshape({clips, queries, heads, num_levels_ * points})
                                   .softmax(-1)
                                   .unflatten(-1, {num_levels_, points});
    at::Tensor references = input.references.squeeze(1);  // [B,Lq,2]
    if (input.memory.valid_ratio.defined())
      references = references * input.memory.valid_ratio.select(1, 0).narrow(1, 0, 1);
    at::Tensor cells = at::empty({num_levels_, 1, 2}, offsets.options());
    for (int64_t l = 0; l < num_levels_; ++l) {
      cells[l][0][0] = static_cast<double>(shapes[l][1]);
      cells[l][0][1] = static_cast<double>(shapes[l][0]);
    }
    const at::Tensor locations =
        references.unsqueeze(2).unsqueeze(2).unsqueeze(2) + offsets / cells;
    const at::Tensor read = ms_deform_attn(value, shapes, locations, weights);  // [B,Lq,D]
    AttentionOutput output;
    for (auto& projection : output_proj_)
      output.values.push_back(projection->forward(read).unsqueeze(1));
    output.sampling = {locations.flatten(3, 4).unsqueeze(1), weights.flatten(3, 4).unsqueeze(1)};
    return output;
  }

 private:
  // Deformable-DETR's start: head m looks along direction m, point k at distance k + 1.
  void reset() {
    torch::NoGradGuard no_grad;
    sampling_offsets_->weight.zero_();
    auto bias =
        sampling_offsets_->bias.view({options_.num_heads, num_levels_, options_.num_points, 2});
    for (int64_t m = 0; m < options_.num_heads; ++m) {
      const auto [x, y] = head_direction(m, options_.num_heads);
      for (int64_t k = 0; k < options_.num_points; ++k) {
        bias.select(0, m).select(1, k).select(-1, 0).fill_(x * (k + 1.0));
        bias.select(0, m).select(1, k).select(-1, 1).fill_(y * (k + 1.0));
      }
    }
    attention_weights_->weight.zero_();
    attention_weights_->bias.zero_();
    xavier_reset(value_proj_);
  }

  Options options_;
  int64_t dim_, frames_, num_levels_;
  torch::nn::Linear sampling_offsets_, attention_weights_, value_proj_;
  at::Tensor learnt_level_;
  std::vector<torch::nn::Linear> output_proj_;
};

}  // namespace tessera::attention::frames_as_levels

TESSERA_PLUGIN(Attention, tessera::attention::frames_as_levels::FramesAsLevels, "frames_as_levels",
               "2-D deformable attention with every frame as a level (DefVIS's released code)")
