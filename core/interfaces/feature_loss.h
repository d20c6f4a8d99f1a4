#pragma once

#include <functional>

#include "core/interfaces/part.h"
#include "core/structures/clip.h"
#include "core/structures/features.h"

namespace tessera {

/// What a feature loss sees of a training step. References and the function are good for the call
/// of FeatureLoss::forward(); tensors may be kept.
struct FeatureLossInput {
  const Memory& memory;
  const Targets& targets;
  const ForwardContext& context;
  /// As LossInput::mean_over_batch.
  std::function<at::Tensor(const at::Tensor&)> mean_over_batch;
};

/// Supervises the memory's cells instead of a decoder layer's queries, once a step; composed by
/// `[loss.features.<name>]`. It may own parameters: they are trained and kept in checkpoints with
/// the model's, and left out of the weights for inference.
class TESSERA_API FeatureLoss : public Part {
 public:
  static constexpr const char* kKind = "feature_loss";
  ~FeatureLoss() override;
  /// Whether forward() calls FeatureLossInput::mean_over_batch; see Loss::batch_sum().
  virtual bool needs_batch_sum() const { return false; }
  /// out: a scalar, already normalised, not yet weighted.
  virtual at::Tensor forward(const FeatureLossInput& input) = 0;
};

}  // namespace tessera
