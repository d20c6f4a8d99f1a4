// Multi-scale deformable attention (Deformable DETR, Zhu et al. 2021, Eq. 3): a query samples K
// points around its reference on every level of its own frame. A reference is a point, or a box:
// then offsets are in halves of its size (A.4). Keys as the reference's: sampling_offsets,
// attention_weights, value_proj, output_proj; further outputs: output_proj_1, ...

#include <ATen/ATen.h>

#include "core/interfaces/attention.h"
#include "core/nn/deformable_projections.h"
#include "core/ops/ms_deform_attn.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::attention::ms_deformable {

struct Options {
  int64_t num_heads = 8;
  int64_t num_points = 4;

  static void describe(Schema<Options>& schema) {
    schema.field("num_heads", &Options::num_heads, "Heads M; they divide the width D.").at_least(1);
    schema.field("num_points", &Options::num_points, "Points K that a head samples on every level.")
        .at_least(1);
  }
};

class MsDeformable final : public Attention {
 public:
  using Options = ms_deformable::Options;

  MsDeformable(const Options& options, const BuildContext& context)
      : options_(options),
        num_levels_(static_cast<int64_t>(context.attention.strides.size())),
        projections_(*this, context.attention,
                     {options.num_heads, num_levels_, options.num_points, 2}) {}

  AttentionTraits traits() const override {
    AttentionTraits traits;
    traits.scope = AttentionTraits::Scope::frame;
    traits.reference_dim = 2;
    traits.takes_boxes = true;
    traits.multi_level = true;
    return traits;
  }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext& context) override {
    ShapeBinding sizes{{'D', projections_.dim()}, {'L', num_levels_}};
    expect_shape(input.memory.tokens, "[B,T,S,D]", "ms_deformable memory", sizes);
    expect_shape(input.query, "[B,T,Q,D]", "ms_deformable query", sizes);
    const bool boxes = input.references.defined() && input.references.size(-1) == 4;
    expect_shape(input.references, boxes ? "[B,T,Q,4]" : "[B,T,Q,2]", "ms_deformable references",
                 sizes);
    const int64_t points = options_.num_points;
    std::vector<std::array<int64_t, 2>> shapes;
    for (const MemoryLevel& level : input.memory.levels)
      shapes.push_back({level.height, level.width});
    if (static_cast<int64_t>(shapes.size()) != num_levels_)
      throw ShapeError("ms_deformable memory: expected " + std::to_string(num_levels_) +
                       " levels, got " + std::to_string(shapes.size()) + ".");

    const at::Tensor value = projections_.values(input.memory)
                                 .flatten(0, 1)
                                 .unflatten(-1, {options_.num_heads, -1});  // [B*T,S,M,D/M]
    const at::Tensor query =
        (input.query_position.defined() ? input.query + input.query_position : input.query)
            .flatten(0, 1);                                  // [B*T,Lq,D]
    const at::Tensor offsets = projections_.offsets(query);  // [B*T,Lq,M,L,K,2]
    const at::Tensor weights = projections_.weights(query);  // [B*T,Lq,M,L,K]
    at::Tensor references = input.references.unsqueeze(3);   // [B,T,Lq,1,2]
    if (input.memory.valid_ratio.defined()) {
      expect_shape(input.memory.valid_ratio, "[B,T,L,2]", "ms_deformable valid_ratio", sizes);
      const at::Tensor ratio = input.memory.valid_ratio.unsqueeze(2);
      references = references * (boxes ? at::cat({ratio, ratio}, -1) : ratio);  // [B,T,Lq,L,2|4]
    }
    references = references.flatten(0, 1).unsqueeze(2).unsqueeze(4);  // [B*T,Lq,1,L|1,1,2|4]
    std::vector<double> cells;                                        // (w, h) of each level
    for (const auto& [height, width] : shapes) {
      cells.push_back(static_cast<double>(width));
      cells.push_back(static_cast<double>(height));
    }
    const at::Tensor step =
        boxes ? references.narrow(-1, 2, 2) * (0.5 / static_cast<double>(points))
              : 1.0 / at::tensor(cells, offsets.options()).view({num_levels_, 1, 2});
    const at::Tensor locations = references.narrow(-1, 0, 2) + offsets * step;
    context.look("sampling_locations", [&] { return locations; });
    const at::Tensor read =
        ms_deform_attn(value, shapes, locations, weights).view(input.query.sizes());
    AttentionOutput output;
    output.values = projections_.outputs(read);
    const std::vector<int64_t> groups{sizes['B'], sizes['T']};
    output.sampling = {locations.flatten(3, 4).unflatten(0, groups),
                       weights.flatten(3, 4).unflatten(0, groups)};
    return output;
  }

 private:
  Options options_;
  int64_t num_levels_;
  DeformableProjections projections_;
};

}  // namespace tessera::attention::ms_deformable

TESSERA_PLUGIN(Attention, tessera::attention::ms_deformable::MsDeformable, "ms_deformable",
               "Multi-scale deformable attention frame by frame (Deformable DETR)")
