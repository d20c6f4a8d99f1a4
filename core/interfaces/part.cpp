#include "core/interfaces/part.h"

#include "core/error.h"
#include "core/interfaces/attention.h"
#include "core/interfaces/augmentation.h"
#include "core/interfaces/auxiliary.h"
#include "core/interfaces/backbone.h"
#include "core/interfaces/decoder.h"
#include "core/interfaces/encoder.h"
#include "core/interfaces/feature_loss.h"
#include "core/interfaces/instance_head.h"
#include "core/interfaces/linker.h"
#include "core/interfaces/loss.h"
#include "core/interfaces/mask_head.h"
#include "core/interfaces/matcher.h"
#include "core/interfaces/sampler.h"
#include "core/interfaces/tracker.h"

namespace tessera {
// The destructors stand here, so that each interface has its one typeinfo in libtessera_core.so
// and dynamic_cast works across plugins.
Part::~Part() = default;
PointSource::~PointSource() = default;
AttentionRecorder::~AttentionRecorder() = default;
Attention::~Attention() = default;
Augmentation::~Augmentation() = default;
Auxiliary::~Auxiliary() = default;
Backbone::~Backbone() = default;
ClipPlan::~ClipPlan() = default;
Decoder::~Decoder() = default;
Encoder::~Encoder() = default;
FeatureLoss::~FeatureLoss() = default;
InstanceHead::~InstanceHead() = default;
InstancePredictor::~InstancePredictor() = default;
Linker::~Linker() = default;
Loss::~Loss() = default;
MaskHead::~MaskHead() = default;
PreparedMasks::~PreparedMasks() = default;
Matcher::~Matcher() = default;
Sampler::~Sampler() = default;
Tracker::~Tracker() = default;
VideoTracker::~VideoTracker() = default;

at::Tensor PointSource::draw(const std::string&, at::IntArrayRef) {
  return {};
}

at::Tensor Part::register_memory(const std::string& name, at::Tensor tensor) {
  memories_.push_back(name);
  return register_buffer(name, std::move(tensor));
}

void Part::adapt_weights(std::vector<std::pair<std::string, at::Tensor>>&) const {}

InstanceEmbeddings Decoder::forward(const Memory&, InstancePredictor&, const ForwardContext&) {
  throw PluginError(
      "decoder: expected a call of decode(), got one of forward(). A decoder overrides one of "
      "them; whoever runs a decoder calls decode().");
}

DecoderOutput Decoder::decode(const DecoderInput& input) {
  return {forward(input.memory, input.predictor, input.context), {}};
}
}  // namespace tessera
