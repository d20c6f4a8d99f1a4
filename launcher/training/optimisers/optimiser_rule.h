#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "core/config/kinds.h"

namespace tessera {

/// What an optimiser keeps for each parameter. A rule fills the fields that its slots() name.
struct OptimiserSlots {
  at::Tensor first;   // mean of gradients, or momentum buffer
  at::Tensor second;  // mean of their squares, or variance
  at::Tensor step;    // [] float32, steps so far
  bool used = false;
};

/// One of OptimiserSlots with its name in checkpoints.
struct SlotField {
  const char* name;
  at::Tensor OptimiserSlots::*member;
};

/// The parameters of a group that have a gradient, in equal order; lists of slots that the rule
/// does not keep are empty.
struct StepTensors {
  std::vector<at::Tensor> parameters, gradients, first, second, steps;
};

/// How a step is made of gradients: `train.optimiser.kind`. A rule is its own options.
class OptimiserRule {
 public:
  virtual ~OptimiserRule() = default;
  /// All rules, the default first.
  static const std::vector<OptionKind<OptimiserRule>>& kinds();

  virtual std::vector<SlotField> slots() const = 0;
  /// Whether the steps are counted on the CPU, wherever the parameters are.
  virtual bool counts_on_cpu() const { return false; }
  /// One step in place, with the learning rate and weight decay of the group.
  virtual void step(const StepTensors& tensors, double lr, double weight_decay) const = 0;
};

/// The rules of the list, each with its options and its schema in the file of its name.
OptionKind<OptimiserRule> adamw_kind();
OptionKind<OptimiserRule> adam_kind();
OptionKind<OptimiserRule> sgd_kind();
OptionKind<OptimiserRule> adabelief_kind();

}  // namespace tessera
