#include <ATen/ops/_foreach_add.h>

#include <map>

#include "launcher/training/optimisers/adabelief_step.h"
#include "launcher/training/optimisers/running_means.h"

namespace tessera {
namespace {

struct AdaBeliefLists {
  std::vector<at::Tensor> parameters, gradients, means, variances;
};

struct AdaBelief final : RunningMeans {
  bool rectify = true;

  static void describe(Schema<AdaBelief>& schema) {
    describe_running_means(schema, "Added to the variance at every step; its authors take 1e-16.");
    schema.field("rectify", &AdaBelief::rectify,
                 "Begin with momentum while the variance is young, as RAdam does.");
  }
  std::vector<SlotField> slots() const override {
    return {{"exp_avg", &OptimiserSlots::first},
            {"exp_avg_var", &OptimiserSlots::second},
            {"step", &OptimiserSlots::step}};
  }
  bool counts_on_cpu() const override { return true; }  // where the rate is worked out
  void step(const StepTensors& tensors, double lr, double weight_decay) const override {
    at::_foreach_add_(tensors.steps, 1);
    // Parameters that were without a gradient for some steps are behind with their count.
    std::map<float, AdaBeliefLists> by_step;
    for (size_t i = 0; i < tensors.parameters.size(); ++i) {
      AdaBeliefLists& lists = by_step[tensors.steps[i].item<float>()];
      lists.parameters.push_back(tensors.parameters[i]);
      lists.gradients.push_back(tensors.gradients[i]);
      lists.means.push_back(tensors.first[i]);
      lists.variances.push_back(tensors.second[i]);
    }
    for (const auto& [count, lists] : by_step)
      adabelief_step(lists.parameters, lists.gradients, lists.means, lists.variances, count,
                     {lr, weight_decay, betas[0], betas[1], eps, rectify});
  }
};

}  // namespace

OptionKind<OptimiserRule> adabelief_kind() {
  return kind_of<OptimiserRule, AdaBelief>(
      "adabelief",
      "Steps by how well the mean foresees the gradient, with decoupled weight decay.");
}

}  // namespace tessera
