#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adamw.h>

#include "launcher/training/optimisers/running_means.h"

namespace tessera {
namespace {

struct AdamW final : RunningMeans {
  static void describe(Schema<AdamW>& schema) {
    describe_running_means(schema, "Added to the denominator.");
  }
  void step(const StepTensors& tensors, double lr, double weight_decay) const override {
    at::_foreach_add_(tensors.steps, 1);
    at::_fused_adamw_(tensors.parameters, tensors.gradients, tensors.first, tensors.second, {},
                      tensors.steps, lr, betas[0], betas[1], weight_decay, eps, /*amsgrad=*/false,
                      /*maximize=*/false);
  }
};

}  // namespace

OptionKind<OptimiserRule> adamw_kind() {
  return kind_of<OptimiserRule, AdamW>("adamw",
                                       "Adam with decoupled weight decay (torch.optim.AdamW).");
}

}  // namespace tessera
