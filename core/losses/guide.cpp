#include "core/losses/guide.h"

#include <ATen/core/Tensor.h>

#include <string>

#include "core/error.h"
#include "core/structures/pieces.h"

namespace tessera {
namespace {

int64_t num_queries(const StageOutput& stage) {
  return stage.predictions.last().classes.logits.size(-2);
}

/// Row of the guide that each row of the stage continues, [B,T,Q]; undefined: the same.
at::Tensor rows_of_guide(const std::vector<StageOutput>& stages, size_t guide, size_t stage) {
  at::Tensor rows;
  for (size_t i = stage; i > guide; --i) {
    const auto& layers = stages[i].embeddings.layers;
    const at::Tensor before = layers.empty() ? at::Tensor() : layers.back().row_before;
    if (!before.defined()) {
      const int64_t own = num_queries(stages[i]), others = num_queries(stages[i - 1]);
      if (own != others)
        throw ConfigError(
            "loss.stages.guide: expected a stage with as many queries as the stage before it, or "
            "one that gives InstanceLayer::row_before, got " +
            std::to_string(own) + " queries after " + std::to_string(others) + ".");
      continue;
    }
    rows = rows.defined() ? before.gather(2, rows) : before;
  }
  return rows;
}

}  // namespace

LayerPrediction guided_prediction(const std::vector<StageOutput>& stages, size_t guide,
                                  size_t stage, int64_t num_frames) {
  const auto frames_of = [&](size_t index) {
    const int64_t frames = stages[index].piece_frames;
    return frames > 0 ? frames : num_frames;
  };
  const int64_t own = frames_of(stage), others = frames_of(guide);
  if (own % others != 0)
    throw ConfigError("loss.stages.guide: expected a guide whose pieces fit into those of " +
                      std::to_string(own) + " frames, got pieces of " + std::to_string(others) +
                      " frames.");
  LayerPrediction prediction = stages[guide].predictions.last();
  if (const at::Tensor rows = rows_of_guide(stages, guide, stage); rows.defined()) {
    const at::Tensor of_pieces = rows.unflatten(1, {num_frames / others, others}).select(2, 0);
    prediction = reordered(prediction, of_pieces.flatten(0, 1));
  }
  return own == others ? prediction : rejoined(prediction, own / others);
}

}  // namespace tessera
