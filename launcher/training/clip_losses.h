#pragma once

#include <memory>
#include <vector>

#include "core/interfaces/auxiliary.h"
#include "core/losses/criterion.h"
#include "launcher/experiment.h"
#include "launcher/model/vis_model.h"
#include "launcher/training/training_loop.h"

namespace tessera {

using Auxiliaries = std::vector<std::shared_ptr<Auxiliary>>;

/// What a training step differentiates: model, criterion and auxiliary networks on batches of
/// clips. All are used, not owned.
class ClipLosses {
 public:
  /// `auxiliaries` are those of the experiment, in its order. Profilers see the criterion as
  /// "criterion" and the auxiliary networks as "auxiliary".
  ClipLosses(const Experiment& experiment, VisModel& model, Criterion& criterion,
             const Auxiliaries& auxiliaries);

  /// Losses of a piece of the batch `whole`, with their graphs; epoch and number of samples are the
  /// caller's to state. `progress`: ForwardContext::progress.
  PartialLoss compute(const ClipBatch& batch, const Targets& targets, const WholeBatch& whole,
                      double progress = 0) const;
  /// Of a batch in one piece.
  PartialLoss compute(const ClipBatch& batch, const Targets& targets, double progress = 0) const {
    return compute(batch, targets, WholeBatch::of(targets), progress);
  }
  /// Model and criterion without a graph: for what the criterion passes to `whole.mean`.
  void run_criterion(const ClipBatch& batch, const Targets& targets, const WholeBatch& whole,
                     double progress) const;

 private:
  ForwardContext context(double progress) const;
  void add_auxiliary(size_t index, const AuxiliaryInput& input, const ForwardContext& context,
                     PartialLoss& loss) const;

  const Experiment& experiment_;
  VisModel& model_;
  Criterion& criterion_;
  const Auxiliaries& auxiliaries_;
};

/// The type of `train.precision`.
at::ScalarType training_type(const TrainOptions& options);

/// Moves every tensor of a batch; frames and boxes become numbers of `type`.
void move_to(at::Device device, at::ScalarType type, ClipBatch& batch, Targets& targets);

/// Moves a module's tensors; those that are floating-point become numbers of `type`, counters stay.
void move_to(at::Device device, at::ScalarType type, torch::nn::Module& module);

/// What the model's optimiser and its checkpoints see: the model's tensors, and the parameters and
/// memories (Part::register_memory) of matchers and loss terms as "loss.<name>".
std::vector<NamedTensor> tensors_to_train(const VisModel& model, const Criterion& criterion);

/// An auxiliary network as training takes it, its tensors as "auxiliary.<name>.<tensor>".
AuxiliaryTraining auxiliary_training(const AuxiliaryOptions& options, const Auxiliary& network);

}  // namespace tessera
