// Deformable attention over time as the released code of DefVIS does it: every frame is one level
// of an ordinary 2-D multi-scale deformable attention, plus one level of learnt vectors. A query's
// reference is its own (x, y) on every frame; one softmax runs over all levels and points; there is
// no temporal offset and no interpolation in time. Kept for comparison with st_deformable.

#include <ATen/ATen.h>

#include "core/interfaces/attention.h"
#include "core/nn/deformable_projections.h"
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
        frames_(context.clip.num_frames),
        num_levels_(frames_ + (options.learnt_height > 0 ? 1 : 0)),
        projections_(*this, one_level(context.attention),
                     {options.num_heads, num_levels_, options.num_points, 2}) {
    if (options.learnt_height > 0)
      learnt_level_ = register_parameter(
          "learnt_level",
          at::randn({options.learnt_height * options.learnt_width, context.attention.dim}));
  }

  AttentionTraits traits() const override {
    AttentionTraits traits;
    traits.reference_dim = 2;
    traits.fixed_frames = frames_;
    return traits;
  }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext&) override {
    ShapeBinding sizes{{'D', projections_.dim()}, {'T', frames_}};
    expect_shape(input.query, "[B,1,Q,D]", "frames_as_levels query", sizes);
    expect_shape(input.references, "[B,1,Q,2]", "frames_as_levels references", sizes);
    expect_shape(input.memory.tokens, "[B,T,S,D]", "frames_as_levels memory", sizes);
    const int64_t clips = sizes['B'];
    const MemoryLevel& level = input.memory.levels.at(0);

    at::Tensor value = projections_.values(input.memory).flatten(1, 2);
    std::vector<std::array<int64_t, 2>> shapes(frames_, {level.height, level.width});
    if (learnt_level_.defined()) {
      shapes.push_back({options_.learnt_height, options_.learnt_width});
      value = at::cat({value, projections_.values(learnt_level_).expand({clips, -1, -1})}, 1);
    }
    value = value.unflatten(-1, {options_.num_heads, -1});

    const at::Tensor query =
        (input.query_position.defined() ? input.query + input.query_position : input.query)
            .squeeze(1);
    const at::Tensor offsets = projections_.offsets(query);  // [B,Lq,M,L,K,2]
    const at::Tensor weights = projections_.weights(query);  // [B,Lq,M,L,K]
    at::Tensor references = input.references.squeeze(1);     // [B,Lq,2]
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
    output.values = projections_.outputs(read.unsqueeze(1));
    if (input.wants_sampling) output.sampling = sampling(locations, weights);
    return output;
  }

 private:
  static const AttentionSpec& one_level(const AttentionSpec& spec) {
    if (spec.strides.size() != 1)
      throw ConfigError("frames_as_levels: expected a memory of one level, got " +
                        std::to_string(spec.strides.size()) + ".");
    return spec;
  }

  /// Points of the frames, each at its frame's centre in time; the learnt level is no place.
  /// in: locations [B,Lq,M,L,P,2], weights [B,Lq,M,L,P].
  AttentionSampling sampling(const at::Tensor& locations, const at::Tensor& weights) const {
    const at::Tensor places = locations.narrow(3, 0, frames_);
    const at::Tensor time =
        (at::arange(frames_, locations.options()) + 0.5) / static_cast<double>(frames_);
    std::vector<int64_t> sizes = places.sizes().vec();
    sizes.back() = 1;
    return {
        at::cat({places, time.view({frames_, 1, 1}).expand(sizes)}, -1).flatten(3, 4).unsqueeze(1),
        weights.narrow(3, 0, frames_).flatten(3, 4).unsqueeze(1)};
  }

  Options options_;
  int64_t frames_, num_levels_;
  DeformableProjections projections_;
  at::Tensor learnt_level_;
};

}  // namespace tessera::attention::frames_as_levels

TESSERA_PLUGIN(Attention, tessera::attention::frames_as_levels::FramesAsLevels, "frames_as_levels",
               "2-D deformable attention with every frame as a level (DefVIS's released code)")
