#include "launcher/training/clip_losses.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <ATen/record_function.h>

#include <utility>

#include "launcher/model/autocast.h"

namespace tessera {

ClipLosses::ClipLosses(const Experiment& experiment, VisModel& model, Criterion& criterion,
                       const Auxiliaries& auxiliaries)
    : experiment_(experiment), model_(model), criterion_(criterion), auxiliaries_(auxiliaries) {}

ForwardContext ClipLosses::context() const {
  ForwardContext context;
  context.autocast = autocast_type(experiment_.train.autocast);
  return context;
}

void ClipLosses::run_criterion(const ClipBatch& batch, const Targets& targets,
                               const WholeBatch& whole) const {
  const at::NoGradGuard no_grad;
  const ForwardContext context = this->context();
  const VisModel::Output output = model_.forward(batch, context);
  criterion_.forward(output.memory, output.last().predictions, targets, context, whole);
}

PartialLoss ClipLosses::compute(const ClipBatch& batch, const Targets& targets,
                                const WholeBatch& whole) const {
  const ForwardContext context = this->context();
  const VisModel::Output output = model_.forward(batch, context);
  PartialLoss loss;
  Matches matches;
  {
    RECORD_USER_SCOPE("criterion");
    CriterionResult result =
        criterion_.forward(output.memory, output.last().predictions, targets, context, whole);
    loss.total = std::move(result.total);
    loss.terms = std::move(result.terms);
    if (!result.matches.empty()) matches = std::move(result.matches.back());
  }
  if (auxiliaries_.empty()) return loss;
  RECORD_USER_SCOPE("auxiliary");
  const AuxiliaryInput input{batch,   output.pyramid, output.memory, output.last().predictions,
                             targets, matches,        whole.counts};
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

void move_to(at::Device device, at::ScalarType type, ClipBatch& batch, Targets& targets) {
  batch.frames = batch.frames.to(device, type);
  batch.padding_mask = batch.padding_mask.to(device);
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
  return tensors;
}

AuxiliaryTraining auxiliary_training(const AuxiliaryOptions& options, const Auxiliary& network) {
  AuxiliaryTraining training{
      options.name, {}, options.optimiser, options.schedule.value(), options.clip_gradients};
  const std::string prefix = std::string(kAuxiliary) + options.name + ".";
  for (const auto& item : network.named_parameters())
    training.tensors.push_back({prefix + item.key(), item.value(), true});
  for (const auto& item : network.named_buffers())
    training.tensors.push_back({prefix + item.key(), item.value(), false});
  return training;
}

}  // namespace tessera
