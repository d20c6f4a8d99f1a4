#include "launcher/contract/harness.h"

#include <string_view>

#include "core/error.h"
#include "launcher/contract/data_parts.h"
#include "launcher/contract/run_parts.h"
#include "launcher/contract/tracker_parts.h"

namespace tessera::contract {

BuildContext Harness::context(const std::string& kind) const {
  BuildContext context;
  context.clip = {frames_, kCategories};
  if (kind == Backbone::kKind) return context;
  context.pyramid = pyramid_spec();
  context.memory = {kDim, {32}, 0, 0};
  if (kind == Auxiliary::kKind)
    context.memory.strides.assign(kAuxiliaryStrides.begin(), kAuxiliaryStrides.end());
  context.queries = {kQueries, kDim, 2, true};
  context.attention.dim = kDim;
  context.attention.strides = {32};
  if (kind == Decoder::kKind) surround(context, surroundings_);
  if (kind == Tracker::kKind) context.linker = make_linker();
  return context;
}

void Harness::prepare_for(const PluginDescriptor& plugin, const void* options) {
  if (plugin.kind == std::string_view(Decoder::kKind))
    surroundings_ = find_surroundings(plugin, options, context(plugin.kind));
}

std::vector<NamedCheck> Harness::further_checks(Part& part) const {
  if (auto* p = dynamic_cast<Decoder*>(&part)) return state_checks(*p, frames_);
  if (auto* p = dynamic_cast<Tracker*>(&part)) return tracker_checks(*p, frames_);
  return {};
}

std::vector<at::Tensor> Harness::run(Part& part, at::ScalarType type) const {
  Numbers numbers(type);
  if (auto* p = dynamic_cast<Backbone*>(&part)) return run_backbone(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Attention*>(&part)) return run_attention(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Encoder*>(&part)) return run_encoder(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Decoder*>(&part)) return run_decoder(*p, frames_, numbers);
  if (auto* p = dynamic_cast<InstanceHead*>(&part)) return run_instance_head(*p, frames_, numbers);
  if (auto* p = dynamic_cast<MaskHead*>(&part)) return run_mask_head(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Matcher*>(&part)) return run_matcher(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Loss*>(&part)) return run_loss(*p, frames_, numbers);
  if (auto* p = dynamic_cast<FeatureLoss*>(&part)) return run_feature_loss(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Linker*>(&part)) return run_linker(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Tracker*>(&part)) return run_tracker(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Auxiliary*>(&part)) return run_auxiliary(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Augmentation*>(&part)) return run_augmentation(*p, frames_);
  if (auto* p = dynamic_cast<Sampler*>(&part)) return run_sampler(*p, frames_);
  throw PluginError("contract: expected a part of a known kind, got another.");
}

}  // namespace tessera::contract
