#include "launcher/training/optimiser.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <map>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/training/adabelief.h"

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

struct AdaBeliefLists {
  std::vector<at::Tensor> parameters, gradients, means, variances;
};

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

std::vector<Optimiser::SlotField> Optimiser::slot_fields() const {
  if (options_.kind == "adabelief")
    return {{"exp_avg", &Slots::first}, {"exp_avg_var", &Slots::second}, {"step", &Slots::step}};
  if (options_.kind != "sgd")
    return {{"exp_avg", &Slots::first}, {"exp_avg_sq", &Slots::second}, {"step", &Slots::step}};
  if (options_.momentum > 0) return {{"momentum_buffer", &Slots::first}};
  return {};
}

at::TensorOptions Optimiser::step_options(const at::Tensor& parameter) const {
  // The fused steps count on the parameter's device; AdaBelief's rate is worked out on the CPU.
  const auto options = parameter.options().dtype(at::kFloat).requires_grad(false);
  return options_.kind == "adabelief" ? options.device(at::kCPU) : options;
}

void Optimiser::make_slots(Slots& slots, const at::Tensor& parameter) const {
  for (const SlotField& field : slot_fields())
    slots.*field.member = field.member == &Slots::step ? at::zeros({}, step_options(parameter))
                                                       : at::zeros_like(parameter);
  slots.used = true;
}

int64_t Optimiser::state_bytes() const {
  int64_t tensors = 0, bytes = 0;  // tensors of a parameter's size
  for (const SlotField& field : slot_fields()) tensors += field.member != &Slots::step ? 1 : 0;
  for (const at::Tensor& parameter : parameters())
    bytes += tensors * static_cast<int64_t>(parameter.nbytes());
  return bytes;
}

void Optimiser::step(double lr_factor) {
  const at::NoGradGuard no_grad;
  for (size_t g = 0; g < groups_.size(); ++g) step_group(groups_[g], slots_[g], lr_factor);
}

void Optimiser::step_group(const ParameterGroup& group, std::vector<Slots>& slots,
                           double lr_factor) {
  std::vector<at::Tensor> parameters, gradients, first, second, steps;
  for (size_t i = 0; i < group.parameters.size(); ++i) {
    const at::Tensor& parameter = group.parameters[i];
    if (!parameter.grad().defined()) continue;
    if (!slots[i].used) make_slots(slots[i], parameter);
    parameters.push_back(parameter);
    gradients.push_back(aligned_gradient(parameter));
    if (slots[i].first.defined()) first.push_back(slots[i].first);
    if (slots[i].second.defined()) second.push_back(slots[i].second);
    if (slots[i].step.defined()) steps.push_back(slots[i].step);
  }
  if (parameters.empty()) return;
  const double lr = group.lr * lr_factor;
  if (options_.kind == "sgd") {
    // A buffer of zeros makes the first step the gradient itself, as torch.optim's first step is.
    at::_fused_sgd_(parameters, gradients, first, group.weight_decay, options_.momentum, lr,
                    /*dampening=*/0.0, /*nesterov=*/false, /*maximize=*/false,
                    /*is_first_step=*/false);
    return;
  }
  at::_foreach_add_(steps, 1);
  const double beta1 = options_.betas[0], beta2 = options_.betas[1];
  if (options_.kind == "adabelief") {
    // Parameters that were without a gradient for some steps are behind with their count.
    std::map<float, AdaBeliefLists> by_step;
    for (size_t i = 0; i < parameters.size(); ++i) {
      AdaBeliefLists& lists = by_step[steps[i].item<float>()];
      lists.parameters.push_back(parameters[i]);
      lists.gradients.push_back(gradients[i]);
      lists.means.push_back(first[i]);
      lists.variances.push_back(second[i]);
    }
    for (const auto& [count, lists] : by_step)
      adabelief_step(lists.parameters, lists.gradients, lists.means, lists.variances, count,
                     {lr, group.weight_decay, beta1, beta2, options_.eps, options_.rectify});
  } else if (options_.kind == "adamw")
    at::_fused_adamw_(parameters, gradients, first, second, {}, steps, lr, beta1, beta2,
                      group.weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false);
  else
    at::_fused_adam_(parameters, gradients, first, second, {}, steps, lr, beta1, beta2,
                     group.weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false);
}

TensorList Optimiser::state() const {
  TensorList state;
  for (size_t g = 0; g < groups_.size(); ++g)
    for (size_t i = 0; i < slots_[g].size(); ++i)
      for (const SlotField& field : slot_fields())
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
      for (const SlotField& field : slot_fields())
        count += given.count(std::string(field.name) + "." + groups_[g].names[i]);
      if (count == 0) continue;  // had no step yet
      make_slots(slots, groups_[g].parameters[i]);
      for (const SlotField& field : slot_fields()) {
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
    throw DataError("optimiser state: expected that of this " + options_.kind +
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
