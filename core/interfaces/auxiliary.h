#pragma once

#include <map>
#include <string>

#include "core/interfaces/part.h"
#include "core/structures/batch_counts.h"
#include "core/structures/features.h"
#include "core/structures/predictions.h"

namespace tessera {

/// A named loss with its weight, for logs and for the sum.
struct NamedLoss {
  std::string name;
  at::Tensor value;  // scalar
  double weight = 1.0;
};

/// What an auxiliary network sees of a training step. References are good for the call of
/// Auxiliary::model_losses() or own_losses(); tensors may be kept.
struct AuxiliaryInput {
  const ClipBatch& batch;
  const FeaturePyramid& pyramid;
  const Memory& memory;
  const Predictions& predictions;
  const Targets& targets;
  const Matches& matches;  // of the last layer
  /// WholeBatch::counts of the step's batch, of which this is a piece: a loss is divided by these
  /// numbers, not by those of `targets`.
  BatchCounts counts = BatchCounts::of(targets);
};

/// A second network trained beside the model (a discriminator). The trainer gives it an optimiser,
/// a schedule and a checkpoint section of its own: model_losses() reaches the model with the
/// auxiliary's parameters frozen, own_losses() must detach what comes from the model.
class TESSERA_API Auxiliary : public Part {
 public:
  static constexpr const char* kKind = "auxiliary";
  ~Auxiliary() override;
  virtual std::vector<NamedLoss> model_losses(const AuxiliaryInput& input,
                                              const ForwardContext& context) = 0;
  virtual std::vector<NamedLoss> own_losses(const AuxiliaryInput& input,
                                            const ForwardContext& context) = 0;
};

}  // namespace tessera
