#include "launcher/training/clip_losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <ATen/record_function.h>

#include <set>
#include <utility>

#include "launcher/model/autocast.h"

namespace tessera {

ClipLosses::ClipLosses(const Experiment& experiment, VisModel& model, Criterion& criterion,
                       const Auxiliaries& auxiliaries)
    : experiment_(experiment), model_(model), criterion_(criterion), auxiliaries_(auxiliaries) {}

ForwardContext ClipLosses::context(double progress) const {
  ForwardContext context;
  context.progress = progress;
  context.autocast = autocast_type(experiment_.train.autocast);
  return context;
}

void ClipLosses::run_criterion(const ClipBatch& batch, const Targets& targets,
                               const WholeBatch& whole, double progress) const {
  const at::NoGradGuard no_grad;
  const ForwardContext context = this->context(progress);
  const VisModel::Output output = model_.forward(batch, context);
  criterion_.forward({output.memory, output.stages, targets, context, &batch, whole});
}

PartialLoss ClipLosses::compute(const ClipBatch& batch, const Targets& targets,
                                const WholeBatch& whole, double progress) const {
  const ForwardContext context = this->context(progress);
  const VisModel::Output output = model_.forward(batch, context);
  PartialLoss loss;
  Matches matches;
  {
    RECORD_USER_SCOPE("criterion");
    CriterionResult result =
        criterion_.forward({output.memory, output.stages, targets, context, &batch, whole});
    loss.total = std::move(result.total);
    loss.terms = std::move(result.terms);
    if (!result.matches.empty()) matches = std::move(result.matches.back());
  }
  if (auxiliaries_.empty()) return loss;
  RECORD_USER_SCOPE("auxiliary");
  const Predictions none;
  const AuxiliaryInput input{
      batch,         output.pyramid,
      output.memory, output.stages.empty() ? none : output.stages.front().predictions,
      targets,       matches,
      whole.counts};
  for (size_t i = 0; i < auxiliaries_.size(); ++i) add_auxiliary(i, input, context, loss);
  return loss;
}

void ClipLosses::add_auxiliary(size_t index, const AuxiliaryInput& input,
                               const ForwardContext& context, PartialLoss& loss) const {
  Auxiliary& network = *auxiliaries_[index];
  const std::string name = experiment_.auxiliaries[index].name + ".";
  for (NamedLoss& term : network.model_losses(input, context)) {
    loss.total = loss.total + term.weight * term.value;
    loss.terms.push_back({name + term.name, std::move(term.value), term.weight});
  }
  at::Tensor own = at::zeros({}, loss.total.options().requires_grad(false));
  for (NamedLoss& term : network.own_losses(input, context)) {
    own = own + term.weight * term.value;
    loss.terms.push_back({name + term.name, std::move(term.value), term.weight});
  }
  loss.auxiliary_totals.push_back(own);
}

at::ScalarType training_type(const TrainOptions& options) {
  return options.precision == "float64" ? at::kDouble : at::kFloat;
}

namespace {

/// The buffers of all parts below `module` that are memories (Part::register_memory).
std::set<const void*> memories_of(const torch::nn::Module& module) {
  std::set<const void*> memories;
  for (const auto& child : module.modules(/*include_self=*/false)) {
    const auto part = std::dynamic_pointer_cast<const Part>(child);
    if (!part) continue;
    const auto buffers = part->named_buffers(/*recurse=*/false);
    for (const std::string& name : part->memories())
      memories.insert(buffers[name].unsafeGetTensorImpl());
  }
  return memories;
}

}  // namespace

void move_to(at::Device device, at::ScalarType type, ClipBatch& batch, Targets& targets) {
  batch.frames = batch.frames.to(device, type);
  batch.padding_mask = batch.padding_mask.to(device);
  for (at::Tensor* colour : {&batch.mean, &batch.deviation})
    if (colour->defined()) *colour = colour->to(device, type);
  for (ClipTargets& clip : targets) {
    clip.boxes = clip.boxes.to(device, type);
    for (at::Tensor* tensor : {&clip.labels, &clip.masks, &clip.valid})
      *tensor = tensor->to(device);
  }
}

void move_to(at::Device device, at::ScalarType type, torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  const auto move = [&](at::Tensor tensor) {
    if (tensor.defined())
      tensor.set_data(tensor.to(device, tensor.is_floating_point() ? type : tensor.scalar_type()));
  };
  for (const at::Tensor& parameter : module.parameters()) move(parameter);
  for (const at::Tensor& buffer : module.buffers()) move(buffer);
}

std::vector<NamedTensor> tensors_to_train(const VisModel& model, const Criterion& criterion) {
  std::vector<NamedTensor> tensors = model.named_tensors();
  for (const auto& item : criterion.named_parameters())
    tensors.push_back({std::string(kTrainingOnly) + item.key(), item.value(), true});
  const std::set<const void*> memories = memories_of(criterion);
  for (const auto& item : criterion.named_buffers())
    if (memories.contains(item.value().unsafeGetTensorImpl()))
      tensors.push_back({std::string(kTrainingOnly) + item.key(), item.value(), false, true});
  return tensors;
}

AuxiliaryTraining auxiliary_training(const AuxiliaryOptions& options, const Auxiliary& network) {
  AuxiliaryTraining training{
      options.name, {}, options.optimiser, options.schedule.value(), options.clip_gradients};
  const std::string prefix = std::string(kAuxiliary) + options.name + ".";
  for (const auto& item : network.named_parameters())
    training.tensors.push_back({prefix + item.key(), item.value(), true});
  std::set<const void*> memories = memories_of(network);
  for (const std::string& name : network.memories())
    memories.insert(network.named_buffers(/*recurse=*/false)[name].unsafeGetTensorImpl());
  for (const auto& item : network.named_buffers())
    training.tensors.push_back({prefix + item.key(), item.value(), false,
                                memories.contains(item.value().unsafeGetTensorImpl())});
  return training;
}

}  // namespace tessera
