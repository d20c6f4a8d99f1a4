#include "launcher/training/learner.h"

#include <ATen/TensorOperators.h>

#include <cmath>

namespace tessera {
namespace {

std::vector<at::Tensor> trained(const std::vector<NamedTensor>& tensors) {
  std::vector<at::Tensor> parameters;
  for (const auto& tensor : tensors)
    if (tensor.is_parameter && tensor.tensor.requires_grad()) parameters.push_back(tensor.tensor);
  return parameters;
}

}  // namespace

Learner::Learner(std::string name, const std::vector<NamedTensor>& tensors,
                 const OptimiserOptions& optimiser_options,
                 const std::vector<ParameterGroupOptions>& groups, Schedules schedules,
                 double clip_gradients, const Communicator& communicator,
                 const DistributedOptions& distributed)
    : name_(std::move(name)),
      optimiser_(optimiser_options, make_groups(tensors, optimiser_options, groups)),
      parameters_(optimiser_.parameters()),
      inputs_(trained(tensors)),
      reducer_(communicator, inputs_, distributed),
      schedules_(std::move(schedules)),
      clip_gradients_(clip_gradients) {}

void Learner::backward(at::Tensor loss, bool last) {
  // A clip that nothing can be learnt from; other ranks wait for this one's gradients.
  if (!loss.requires_grad()) loss = loss + 0.0 * inputs_.at(0).sum();
  if (last) reducer_.prepare(loss);
  loss.backward({}, /*retain_graph=*/false, /*create_graph=*/false, inputs_);
  if (last) reducer_.finish();
}

double Learner::step(const ScheduleLength& length, int64_t iteration) {
  const at::Tensor norm = gradient_norm(parameters_);
  const double value = norm.item<double>();
  if (!std::isfinite(value)) return value;  // the caller stops: nothing is spoilt
  if (clip_gradients_ > 0) clip_gradients(parameters_, norm, clip_gradients_);
  optimiser_.step(schedules_.factors(optimiser_.groups(), length, iteration));
  return value;
}

}  // namespace tessera
