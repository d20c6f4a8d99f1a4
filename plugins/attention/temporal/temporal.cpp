// Attention over the frames of a clip (MS-STS VIS, Thawakar et al. 2022: "temporal attention" of
// the decoder's box queries): every query of a clip attends to those of all frames, or to itself in
// the other frames only. Queries take their positions, also as values. Keys: qkv, proj.

#include <ATen/ATen.h>

#include "core/interfaces/attention.h"
#include "core/nn/self_attention.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::attention::temporal {

struct Options {
  int64_t num_heads = 8;
  bool qkv_bias = false;
  std::string over = "clip";

  static void describe(Schema<Options>& schema) {
    schema.field("num_heads", &Options::num_heads, "Heads M; they divide the width D.").at_least(1);
    schema.field("qkv_bias", &Options::qkv_bias, "Biases of the query, key and value projections.");
    schema
        .field("over", &Options::over,
               "clip: a query attends to the queries of all frames; track: to the same query in "
               "all frames.")
        .one_of({"clip", "track"});
  }
};

class Temporal final : public Attention {
 public:
  using Options = temporal::Options;

  Temporal(const Options& options, const BuildContext& context)
      : options_(options), dim_(context.attention.dim) {
    if (context.attention.num_outputs != 1)
      throw ConfigError("temporal attention: expected one output projection, got " +
                        std::to_string(context.attention.num_outputs) + ".");
    // Registered under this part's own name, so that the keys are qkv and proj.
    attention_ = std::make_shared<SelfAttention>(dim_, options.num_heads, options.qkv_bias,
                                                 context.attention.dropout);
    for (const auto& child : attention_->named_children())
      register_module(child.key(), child.value());
  }

  AttentionTraits traits() const override {
    AttentionTraits traits;
    traits.memory_to_memory_only = true;
    return traits;
  }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext&) override {
    ShapeBinding sizes{{'D', dim_}};
    expect_shape(input.memory.tokens, "[B,T,S,D]", "temporal memory", sizes);
    const int64_t clips = sizes['B'], frames = sizes['T'], tokens = sizes['S'];
    ShapeBinding all{{'B', clips}, {'L', frames * tokens}, {'D', dim_}};
    expect_shape(input.query, "[B,1,L,D]", "temporal query", all);
    attention_->train(is_training());
    const at::Tensor x =
        (input.query_position.defined() ? input.query + input.query_position : input.query)
            .squeeze(1)
            .view({clips, frames, tokens, dim_});
    const at::Tensor& padding = input.memory.padding_mask;  // [B,T,S]
    at::Tensor y;
    if (options_.over == "clip") {
      y = attention_->forward(x.flatten(1, 2),
                              padding.defined() ? padding.flatten(1, 2) : at::Tensor());
    } else {
      // A clip's frames have one size: a token is padded in all of them or in none.
      y = attention_->forward(x.transpose(1, 2).flatten(0, 1))
              .view({clips, tokens, frames, dim_})
              .transpose(1, 2)
              .flatten(1, 2);
    }
    return {{y.unsqueeze(1)}, {}};
  }

 private:
  Options options_;
  int64_t dim_;
  std::shared_ptr<SelfAttention> attention_;
};

}  // namespace tessera::attention::temporal

TESSERA_PLUGIN(Attention, tessera::attention::temporal::Temporal, "temporal",
               "Attention over the frames of a clip, across queries or track by track (MS-STS VIS)")
