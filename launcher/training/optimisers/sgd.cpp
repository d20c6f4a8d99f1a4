#include <ATen/ops/_fused_sgd.h>

#include "launcher/training/optimisers/optimiser_rule.h"

namespace tessera {
namespace {

struct Sgd final : OptimiserRule {
  double momentum = 0.9;

  static void describe(Schema<Sgd>& schema) {
    schema.field("momentum", &Sgd::momentum, "Momentum; 0 keeps no state.").between(0, 1);
  }
  std::vector<SlotField> slots() const override {
    if (momentum > 0) return {{"momentum_buffer", &OptimiserSlots::first}};
    return {};
  }
  void step(const StepTensors& tensors, double lr, double weight_decay) const override {
    // A buffer of zeros makes the first step the gradient itself, as torch.optim's first step is.
    at::_fused_sgd_(tensors.parameters, tensors.gradients, tensors.first, weight_decay, momentum,
                    lr, /*dampening=*/0.0, /*nesterov=*/false, /*maximize=*/false,
                    /*is_first_step=*/false);
  }
};

}  // namespace

OptionKind<OptimiserRule> sgd_kind() {
  return kind_of<OptimiserRule, Sgd>(
      "sgd", "Stochastic gradient descent with momentum, weight decay as an L2 gradient.");
}

}  // namespace tessera
