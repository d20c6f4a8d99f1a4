// Spatio-temporal deformable attention, Deformable VisTR, Eq. 2:
//   STDeformAttn(z_q, p_q, x) = sum_m W_m [ sum_k A_mqk W'_m x(p_q + dp_mqk) ]
// p_q = (x, y, t), dp unconstrained in cells and frames, trilinear, zero outside; A is a softmax
// over the K points. Keys as Deformable-DETR's: see DeformableProjections.

#include <ATen/ATen.h>

#include "core/interfaces/attention.h"
#include "core/nn/deformable_projections.h"
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
        projections_(*this, one_level(context.attention),
                     {options.num_heads, 1, options.num_points, 3}) {}

  AttentionTraits traits() const override {
    AttentionTraits traits;
    traits.reference_dim = 3;
    return traits;
  }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext& context) override {
    ShapeBinding sizes{{'D', projections_.dim()}};
    expect_shape(input.query, "[B,1,Q,D]", "st_deformable query", sizes);
    expect_shape(input.references, "[B,1,Q,3]", "st_deformable references", sizes);
    expect_shape(input.memory.tokens, "[B,T,S,D]", "st_deformable memory", sizes);
    const int64_t clips = sizes['B'];
    const MemoryLevel& level = input.memory.levels.at(0);
    const int64_t frames = input.memory.num_frames();
    const at::Tensor value = projections_.values(input.memory)
                                 .flatten(1, 2)
                                 .unflatten(-1, {options_.num_heads, -1});  // [B,T*S,M,D/M]
    const at::Tensor query =
        (input.query_position.defined() ? input.query + input.query_position : input.query)
            .squeeze(1);
    const at::Tensor offsets = projections_.offsets(query).squeeze(3);  // [B,Lq,M,K,3]
    const at::Tensor weights = projections_.weights(query).squeeze(3);  // [B,Lq,M,K]
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
    output.values = projections_.outputs(read.unsqueeze(1));
    output.sampling = {locations.unsqueeze(1), weights.unsqueeze(1)};
    return output;
  }

 private:
  static const AttentionSpec& one_level(const AttentionSpec& spec) {
    if (spec.strides.size() != 1)
      throw ConfigError("st_deformable: expected a memory of one level, got " +
                        std::to_string(spec.strides.size()) +
                        ". Set the encoder's feature_levels to one level.");
    return spec;
  }

  Options options_;
  DeformableProjections projections_;
};

}  // namespace tessera::attention::st_deformable

TESSERA_PLUGIN(Attention, tessera::attention::st_deformable::StDeformable, "st_deformable",
               "Spatio-temporal deformable attention (Deformable VisTR, Eq. 2)")
