// Masked attention (Mask2Former, Cheng et al. 2022, 3.2.1): another attention, which reads only
// what the caller did not block. A query with every key blocked reads all of them, as in the
// reference: its mask is empty, and an attention over nothing would be undefined. Over a clip the
// keys of all frames count together (3-D masked attention of Mask2Former-VIS). Key: attention.

#include <ATen/ATen.h>

#include "core/interfaces/attention.h"
#include "core/plugin/plugin.h"

namespace tessera::attention::masked {

struct Options {
  PluginOf<Attention> attention{"dense"};

  static void describe(Schema<Options>& schema) {
    schema.field("attention", &Options::attention, "The attention that heeds what is blocked.");
  }
};

class Masked final : public Attention {
 public:
  using Options = masked::Options;

  Masked(const Options& options, const BuildContext& context)
      : attention_(register_module("attention", context.make(options.attention))) {
    if (!attention_->traits().uses_blocked)
      throw ConfigError("masked.attention: expected an attention that can be blocked, got '" +
                        options.attention.name + "', which reads every key. Use \"dense\".");
  }

  AttentionTraits traits() const override { return attention_->traits(); }

  AttentionOutput forward(const AttentionInput& input, const ForwardContext& context) override {
    if (!input.blocked.defined()) return attention_->forward(input, context);
    at::Tensor unread = input.blocked;  // [B,G,Lq,keys]
    if (const at::Tensor& padding = input.memory.padding_mask; padding.defined())
      unread = unread.logical_or(traits().scope == AttentionTraits::Scope::clip
                                     ? padding.flatten(1, 2).unsqueeze(1).unsqueeze(1)
                                     : padding.unsqueeze(2));
    AttentionInput freed = input;
    freed.blocked = input.blocked.logical_and(unread.all(-1, true).logical_not());
    return attention_->forward(freed, context);
  }

 private:
  std::shared_ptr<Attention> attention_;
};

}  // namespace tessera::attention::masked

TESSERA_PLUGIN(Attention, tessera::attention::masked::Masked, "masked",
               "Attention restricted to the mask predicted before (Mask2Former)")
