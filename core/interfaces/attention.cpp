#include "core/interfaces/attention.h"

namespace tessera {

AttentionOutput attend(Attention& attention, AttentionInput input, const ForwardContext& context,
                       const std::string& name) {
  if (!context.attention || !context.attention->wants(context.prefix + name))
    return attention.forward(input, context);
  input.wants_sampling = true;
  AttentionOutput output = attention.forward(input, context);
  context.attention->record(context.prefix + name, input, output.sampling);
  return output;
}

}  // namespace tessera
