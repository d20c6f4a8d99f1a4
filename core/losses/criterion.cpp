#include "core/losses/criterion.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace tessera {

void CriterionOptions::describe(Schema<CriterionOptions>& schema) {
  schema.field("matcher", &CriterionOptions::matcher, "Assigns predictions to instances.");
  schema.field("terms", &CriterionOptions::terms, "Loss terms by the name that logs show.");
}

Criterion::Criterion(const CriterionOptions& options, const BuildContext& context)
    : matcher_(context.make(options.matcher)) {
  register_module("matcher", matcher_);
  for (const auto& [name, choice] : options.terms) {
    auto loss = context.make(choice);
    register_module(name, loss);
    // Every term's schema has these two fields, see LossTermOptions::describe_term.
    const ConfigNode values = choice.descriptor->schema().write(choice.options.get());
    const ConfigNode *weight = values.find("weight"), *layers = values.find("layers");
    if (!weight || !layers)
      throw PluginError("loss " + choice.name +
                        ": expected options derived from LossTermOptions, got a schema "
                        "without weight and layers.");
    terms_.push_back({name, std::move(loss), std::get<double>(weight->value),
                      std::get<std::string>(layers->value) == "last"});
  }
}

CriterionResult Criterion::forward(
    const Predictions& predictions, const Targets& targets, const ForwardContext& context,
    const std::function<at::Tensor(const at::Tensor&)>& mean_over_ranks) {
  CriterionResult result;
  const auto options = predictions.last().classes.logits.options();
  double instances = 0, instance_frames = 0, valid_frames = 0;
  for (const ClipTargets& target : targets) {
    instances += static_cast<double>(target.num_instances());
    instance_frames += static_cast<double>(target.valid.numel());
    valid_frames += target.valid.sum().item<double>();
  }
  at::Tensor counts = at::tensor({instances, instance_frames, valid_frames}, at::kDouble);
  if (mean_over_ranks) counts = mean_over_ranks(counts);
  counts = counts.clamp_min(1.0);

  const int64_t last = static_cast<int64_t>(predictions.layers.size()) - 1;
  result.total = at::zeros({}, options);
  for (int64_t layer = last; layer >= 0; --layer) {
    const LayerPrediction& prediction = predictions.layers[layer];
    result.matches.insert(result.matches.begin(),
                          matcher_->match(layer, prediction, targets, context));
    LossInput input(layer, prediction, targets, result.matches.front(), context);
    input.num_instances = counts[0].item<double>();
    input.num_instance_frames = counts[1].item<double>();
    input.num_valid_frames = counts[2].item<double>();
    if (mean_over_ranks) input.mean_over_ranks = mean_over_ranks;
    for (const Term& term : terms_) {
      if (term.last_layer_only && layer != last) continue;
      const at::Tensor value = term.loss->forward(input);
      result.terms.push_back({layer == last ? term.name : term.name + "_" + std::to_string(layer),
                              value, term.weight});
      if (term.weight != 0.0) result.total = result.total + term.weight * value;
    }
  }
  return result;
}

}  // namespace tessera
