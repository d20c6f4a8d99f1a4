#include "launcher/inference/explained_window.h"

#include <ATen/ATen.h>

#include "core/error.h"
#include "launcher/model/model_options.h"

namespace tessera {

CrossAttentionRecorder::CrossAttentionRecorder(std::optional<int64_t> layer,
                                               const std::string& stage)
    : layer_(layer),
      prefix_((stage.empty() || stage == kSegmenter ? "" : "stages." + stage + ".") +
              "decoder.layers.") {}

bool CrossAttentionRecorder::wants(const std::string& name) const {
  if (!name.starts_with(prefix_) || !name.ends_with(".cross_attn")) return false;
  return !layer_ || name == prefix_ + std::to_string(*layer_) + ".cross_attn";
}

void CrossAttentionRecorder::record(const std::string& name, const AttentionInput& input,
                                    const AttentionSampling& sampling) {
  kept_ = {};
  kept_.attention = name;
  kept_.num_frames = input.memory.num_frames();
  kept_.levels = input.memory.levels;
  kept_.tokens = input.memory.tokens.size(2);
  kept_.per_frame = input.query.size(1) > 1;
  if (!sampling.weights.defined()) return;
  // Frames that go apart are clips of their own, those of a clip one after the other.
  const int64_t clip = clip_ * (input.query.size(0) / num_clips_);
  at::Tensor weights = sampling.weights.select(0, clip);
  if (sampling.locations.defined())
    kept_.locations = sampling.locations.select(0, clip).to(at::kCPU, at::kFloat);
  else
    weights = weights.mean(1);  // [G,M,Lq,keys]: heads of a layer are drawn as one
  kept_.weights = weights.to(at::kCPU, at::kFloat);
}

LookedAt CrossAttentionRecorder::finish() const {
  if (kept_.attention.empty())
    throw ConfigError("infer --explain: expected a decoder whose cross-attention can be watched" +
                      (layer_ ? " in layer " + std::to_string(*layer_) : std::string()) +
                      ", got none. Layers count from 0; a decoder calls attend() for it.");
  if (!kept_.weights.defined())
    throw ConfigError("infer --explain: expected '" + kept_.attention +
                      "' to say where it looks, got nothing. Its plugin fills "
                      "AttentionOutput::sampling where wants_sampling is set.");
  return kept_;
}

}  // namespace tessera
