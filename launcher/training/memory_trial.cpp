#include "launcher/training/memory_trial.h"

#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "launcher/peak_memory.h"
#include "launcher/training/optimiser.h"

namespace tessera {
namespace {

/// Buffers (running statistics) as they were before the trials.
class KeptBuffers {
 public:
  void add(const std::vector<NamedTensor>& tensors) {
    for (const NamedTensor& tensor : tensors)
      if (!tensor.is_parameter) kept_.emplace_back(tensor.tensor, tensor.tensor.clone());
  }
  KeptBuffers() = default;
  KeptBuffers(const KeptBuffers&) = delete;
  KeptBuffers& operator=(const KeptBuffers&) = delete;
  ~KeptBuffers() {
    const at::NoGradGuard no_grad;
    for (auto& [tensor, before] : kept_) tensor.copy_(before);
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_;
};

class Trial {
 public:
  Trial(const Experiment& experiment, VisModel& model, Criterion& criterion,
        const Auxiliaries& auxiliaries, const ClipBatch& batch, const Targets& targets,
        const Communicator& communicator)
      : model_(model),
        losses_(experiment, model, criterion, auxiliaries),
        batch_(batch),
        targets_(targets),
        communicator_(communicator) {
    const TrainOptions& options = experiment.train;
    const std::vector<NamedTensor> tensors = tensors_to_train(model, criterion);
    freeze_parameters(tensors, options.frozen);
    add_learner(tensors, Optimiser(options.optimiser,
                                   make_groups(tensors, options.optimiser, options.groups)));
    model.train();
    criterion.train();
    for (size_t i = 0; i < auxiliaries.size(); ++i) {
      auxiliaries[i]->train();
      const AuxiliaryTraining training =
          auxiliary_training(experiment.auxiliaries[i], *auxiliaries[i]);
      add_learner(
          training.tensors,
          Optimiser(training.optimiser, make_groups(training.tensors, training.optimiser, {})));
    }
    step(Recomputed::parts({"backbone", "encoder", "masks"}));  // what stays is made: warm
  }

  StepCost step(const Recomputed& recomputed) {
    model_.recompute_activations(recomputed);
    const at::Device device = batch_.frames.device();
    StepCost cost;
    begin_peak(device);
    const auto start = std::chrono::steady_clock::now();
    try {
      run();
      cost.peak_bytes = memory_use(device).peak + later_;
    } catch (const c10::OutOfMemoryError&) {
      cost.peak_bytes = std::numeric_limits<int64_t>::max();
    }
    for (const auto& parameters : learners_)
      for (const at::Tensor& parameter : parameters) parameter.mutable_grad() = at::Tensor();
    cost.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    cost.seconds = communicator_.maximum(cost.seconds);
    cost.peak_bytes = static_cast<int64_t>(
        std::min(communicator_.maximum(static_cast<double>(cost.peak_bytes)), kMostBytes));
    return cost;
  }

 private:
  static constexpr double kMostBytes = 1e18;  // a double holds it, and so does int64_t

  void add_learner(const std::vector<NamedTensor>& tensors, const Optimiser& optimiser) {
    buffers_.add(tensors);
    learners_.push_back(optimiser.parameters());
    later_ += optimiser.state_bytes();
    if (communicator_.size() == 1) return;
    for (const at::Tensor& parameter : learners_.back())
      later_ += static_cast<int64_t>(parameter.nbytes());  // the reducer's copy of the gradient
  }

  void run() {
    const PartialLoss loss = losses_.compute(batch_, targets_);
    loss.total.backward({}, /*retain_graph=*/false, /*create_graph=*/false, learners_.at(0));
    for (size_t i = 1; i < learners_.size(); ++i)
      loss.auxiliary_totals.at(i - 1).backward({}, false, false, learners_[i]);
    loss.total.item<double>();  // waits for a GPU
  }

  VisModel& model_;
  ClipLosses losses_;
  const ClipBatch& batch_;
  const Targets& targets_;
  const Communicator& communicator_;
  KeptBuffers buffers_;
  std::vector<std::vector<at::Tensor>> learners_;  // their parameters, the model's first
  int64_t later_ = 0;                              // bytes that training takes and a trial does not
};

}  // namespace

ChosenStep choose_by_trial(const Experiment& experiment, VisModel& model, Criterion& criterion,
                           const Auxiliaries& auxiliaries, const ClipBatch& batch,
                           const Targets& targets, const Communicator& communicator) {
  Trial trial(experiment, model, criterion, auxiliaries, batch, targets, communicator);
  int64_t most_rows = 1;
  for (const ClipTargets& target : targets) most_rows = std::max(most_rows, target.labels.size(0));
  const ChosenStep chosen =
      choose_recomputed(parse_memory_size(experiment.train.memory), most_rows,
                        [&trial](const Recomputed& what) { return trial.step(what); });
  model.recompute_activations(chosen.recomputed);
  return chosen;
}

}  // namespace tessera
