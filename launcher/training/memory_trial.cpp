#include "launcher/training/memory_trial.h"

#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "launcher/peak_memory.h"
#include "launcher/training/kept_buffers.h"
#include "launcher/training/optimiser.h"

namespace tessera {
namespace {

class Trial {
 public:
  Trial(const Experiment& experiment, VisModel& model, Criterion& criterion,
        const Auxiliaries& auxiliaries, const ClipBatch& batch, const Targets& targets,
        const Communicator& communicator, int64_t other_bytes)
      : limit_(parse_memory_size(experiment.train.memory)),
        later_(other_bytes),
        model_(model),
        losses_(experiment, model, criterion, auxiliaries),
        batch_(batch),
        targets_(targets),
        communicator_(communicator) {
    const TrainOptions& options = experiment.train;
    freeze_parts(model, options);
    const std::vector<NamedTensor> tensors = tensors_to_train(model, criterion);
    freeze_parameters(tensors, options.frozen);
    add_learner(tensors, Optimiser(options.optimiser,
                                   make_groups(tensors, options.optimiser, options.groups)));
    if (options.ema) {
      const WeightAverage ema(*options.ema, tensors);
      for (const auto& [name, average] : ema.averages())
        later_ += static_cast<int64_t>(average.nbytes());
    }
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

  int64_t limit() const { return limit_; }

  StepCost step(const Recomputed& recomputed) {
    model_.recompute_activations(recomputed);
    const at::Device device = batch_.frames.device();
    StepCost cost;
    begin_peak(device);
    const auto start = std::chrono::steady_clock::now();
    try {
      std::optional<AllocationLimit> limit;
      if (device.is_cpu()) limit.emplace(most_bytes(recomputed));
      run();
      cost.peak_bytes = memory_use(device).peak + later_;
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      cost.peak_bytes = kUnknownPeak;
    }
    for (const auto& parameters : learners_)
      for (const at::Tensor& parameter : parameters) parameter.mutable_grad() = at::Tensor();
    constexpr double kRuns = 2;
    cost.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kRuns;
    cost.seconds = communicator_.maximum(cost.seconds);
    cost.peak_bytes =
        static_cast<int64_t>(communicator_.maximum(static_cast<double>(cost.peak_bytes)));
    return cost;
  }

 private:
  /// What a trial may take. The least that training can take shall be known even where it is too
  /// much; other choices are given up when they are beyond the limit.
  int64_t most_bytes(const Recomputed& what) const {
    constexpr double kOfReachable = 0.9;
    const bool is_least = what.backbone && what.encoder && what.masks;
    return is_least ? static_cast<int64_t>(kOfReachable * static_cast<double>(reachable_memory()))
                    : limit_ - later_;
  }

  void add_learner(const std::vector<NamedTensor>& tensors, const Optimiser& optimiser) {
    buffers_.add(tensors);
    learners_.push_back(optimiser.parameters());
    later_ += optimiser.state_bytes();
    if (communicator_.size() == 1) return;
    for (const at::Tensor& parameter : learners_.back())
      later_ += static_cast<int64_t>(parameter.nbytes());  // the reducer's copy of the gradient
  }

  /// What is computed may depend on how far the training is.
  void run() {
    run_at(/*progress=*/0);
    for (const auto& parameters : learners_)
      for (const at::Tensor& parameter : parameters) parameter.mutable_grad() = at::Tensor();
    run_at(/*progress=*/1);
  }

  void run_at(double progress) {
    const PartialLoss loss = losses_.compute(batch_, targets_, progress);
    loss.total.backward({}, /*retain_graph=*/false, /*create_graph=*/false, learners_.at(0));
    for (size_t i = 1; i < learners_.size(); ++i)
      loss.auxiliary_totals.at(i - 1).backward({}, false, false, learners_[i]);
    loss.total.item<double>();  // waits for a GPU
  }

  int64_t limit_;
  int64_t later_;  // bytes that training takes and a trial does not
  VisModel& model_;
  ClipLosses losses_;
  const ClipBatch& batch_;
  const Targets& targets_;
  const Communicator& communicator_;
  KeptBuffers buffers_;
  std::vector<std::vector<at::Tensor>> learners_;  // their parameters, the model's first
};

}  // namespace

ChosenStep choose_by_trial(const Experiment& experiment, VisModel& model, Criterion& criterion,
                           const Auxiliaries& auxiliaries, const ClipBatch& batch,
                           const Targets& targets, const Communicator& communicator,
                           int64_t other_bytes) {
  Trial trial(experiment, model, criterion, auxiliaries, batch, targets, communicator, other_bytes);
  int64_t most_rows = 1;
  for (const ClipTargets& target : targets) most_rows = std::max(most_rows, target.labels.size(0));
  const ChosenStep chosen = choose_recomputed(
      trial.limit(), most_rows, [&trial](const Recomputed& what) { return trial.step(what); });
  model.recompute_activations(chosen.recomputed);
  return chosen;
}

}  // namespace tessera
