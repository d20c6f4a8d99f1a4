#include "launcher/training/optimiser.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <map>

#include "core/error.h"
#include "core/structures/shape.h"

namespace tessera {
namespace {

/// The gradients that are there. Fused steps walk through memory, so a gradient must lie as its
/// parameter does; autograd nearly always sees to that.
at::Tensor aligned_gradient(const at::Tensor& parameter) {
  const at::Tensor& gradient = parameter.grad();
  if (gradient.strides() == parameter.strides() && gradient.dtype() == parameter.dtype())
    return gradient;
  return at::empty_like(parameter).copy_(gradient);
}

std::vector<at::Tensor> gradients_of(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters)
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  return gradients;
}

}  // namespace

Optimiser::Optimiser(const OptimiserOptions& options, std::vector<ParameterGroup> groups)
    : options_(options), groups_(std::move(groups)) {
  if (groups_.empty())
    throw ConfigError("train.frozen: expected a parameter that takes gradients, got none.");
  for (const auto& group : groups_) slots_.emplace_back(group.parameters.size());
}

std::vector<at::Tensor> Optimiser::parameters() const {
  std::vector<at::Tensor> all;
  for (const auto& group : groups_)
    all.insert(all.end(), group.parameters.begin(), group.parameters.end());
  return all;
}

void Optimiser::zero_grad() {
  for (auto& group : groups_)
    for (auto& parameter : group.parameters) parameter.mutable_grad().reset();
}

at::TensorOptions Optimiser::step_options(const at::Tensor& parameter) const {
  const auto options = parameter.options().dtype(at::kFloat).requires_grad(false);
  return options_.kind->counts_on_cpu() ? options.device(at::kCPU) : options;
}

void Optimiser::make_slots(Slots& slots, const at::Tensor& parameter) const {
  for (const SlotField& field : options_.kind->slots())
    slots.*field.member = field.member == &Slots::step ? at::zeros({}, step_options(parameter))
                                                       : at::zeros_like(parameter);
  slots.used = true;
}

int64_t Optimiser::state_bytes() const {
  int64_t tensors = 0, bytes = 0;  // tensors of a parameter's size
  for (const SlotField& field : options_.kind->slots())
    tensors += field.member != &Slots::step ? 1 : 0;
  for (const at::Tensor& parameter : parameters())
    bytes += tensors * static_cast<int64_t>(parameter.nbytes());
  return bytes;
}

void Optimiser::step(const std::vector<double>& lr_factors) {
  const at::NoGradGuard no_grad;
  for (size_t g = 0; g < groups_.size(); ++g) step_group(groups_[g], slots_[g], lr_factors.at(g));
}

void Optimiser::step_group(const ParameterGroup& group, std::vector<Slots>& slots,
                           double lr_factor) {
  StepTensors tensors;
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    const at::Tensor& parameter = group.parameters[i];
    if (!parameter.grad().defined()) continue;
    if (!slots[i].used) make_slots(slots[i], parameter);
    tensors.parameters.push_back(parameter);
    tensors.gradients.push_back(aligned_gradient(parameter));
    if (slots[i].first.defined()) tensors.first.push_back(slots[i].first);
    if (slots[i].second.defined()) tensors.second.push_back(slots[i].second);
    if (slots[i].step.defined()) tensors.steps.push_back(slots[i].step);
  }
  if (tensors.parameters.empty()) return;
  options_.kind->step(tensors, group.lr * lr_factor, group.weight_decay);
}

TensorList Optimiser::state() const {
  TensorList state;
  for (size_t g = 0; g < groups_.size(); ++g)
    for (size_t i = 0; i < slots_[g].size(); ++i)
      for (const SlotField& field : options_.kind->slots())
        if (slots_[g][i].used)
          state.emplace_back(std::string(field.name) + "." + groups_[g].names[i],
                             slots_[g][i].*field.member);
  return state;
}

void Optimiser::load_state(const TensorList& state) {
  std::map<std::string, at::Tensor> given(state.begin(), state.end());
  std::vector<std::string> mistakes;
  auto loaded = slots_;
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (size_t i = 0; i < slots_[g].size(); ++i) {
      Slots& slots = loaded[g][i] = {};
      size_t count = 0;
      for (const SlotField& field : options_.kind->slots())
        count += given.count(std::string(field.name) + "." + groups_[g].names[i]);
      if (count == 0) continue;  // had no step yet
      make_slots(slots, groups_[g].parameters[i]);
      for (const SlotField& field : options_.kind->slots()) {
        const std::string name = std::string(field.name) + "." + groups_[g].names[i];
        const auto found = given.find(name);
        if (found == given.end()) {
          mistakes.push_back(name + " (missing)");
          continue;
        }
        at::Tensor& slot = slots.*field.member;
        if (slot.sizes() != found->second.sizes())
          mistakes.push_back(name + " (" + shape_text(found->second.sizes()) + " instead of " +
                             shape_text(slot.sizes()) + ")");
        else
          slot.copy_(found->second);
        given.erase(found);
      }
    }
  }
  for (const auto& [name, tensor] : given) mistakes.push_back(name + " (unknown)");
  if (!mistakes.empty())
    throw DataError("optimiser state: expected that of this " + options_.kind.name() +
                    " and these parameters, got differences: " + join(mistakes) + ".");
  slots_ = std::move(loaded);
}

at::Tensor gradient_norm(const std::vector<at::Tensor>& parameters) {
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  if (gradients.empty()) return at::zeros({}, parameters.at(0).options().requires_grad(false));
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)));
}

void clip_gradients(const std::vector<at::Tensor>& parameters, const at::Tensor& norm,
                    double limit) {
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  if (gradients.empty()) return;
  // As torch.nn.utils.clip_grad_norm_, whose 1e-6 belongs to what published recipes did.
  at::_foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp_max(1.0));
}

}  // namespace tessera
