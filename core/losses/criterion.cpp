#include "core/losses/criterion.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace tessera {

void CriterionOptions::describe(Schema<CriterionOptions>& schema) {
  schema.field("matcher", &CriterionOptions::matcher, "Assigns predictions to instances.");
  schema.field("terms", &CriterionOptions::terms, "Loss terms by the name that logs show.");
  schema.field("features", &CriterionOptions::features,
               "Losses on the memory by the name that logs show.");
}

namespace {

/// A term's option that the criterion itself needs. Every term's schema has it, see
/// LossTermOptions and FeatureLossOptions.
template <class T>
T option_of(const PluginChoice& choice, const char* key) {
  const ConfigNode values = choice.descriptor->schema().write(choice.options.get());
  const ConfigNode* value = values.find(key);
  if (!value)
    throw PluginError("loss " + choice.name +
                      ": expected options derived from LossTermOptions or "
                      "FeatureLossOptions, got a schema without " +
                      key + ".");
  return std::get<T>(value->value);
}

}  // namespace

Criterion::Criterion(const CriterionOptions& options, const BuildContext& context)
    : matcher_(context.make(options.matcher)) {
  register_module("matcher", matcher_);
  for (const auto& [name, choice] : options.terms) {
    auto loss = context.make(choice);
    register_module(name, loss);
    terms_.push_back({name, std::move(loss), option_of<double>(choice, "weight"),
                      option_of<std::string>(choice, "layers") == "last"});
  }
  for (const auto& [name, choice] : options.features) {
    auto loss = context.make(choice);
    register_module("features_" + name, loss);
    features_.push_back({name, std::move(loss), option_of<double>(choice, "weight")});
  }
}

CriterionResult Criterion::forward(
    const Memory& memory, const Predictions& predictions, const Targets& targets,
    const ForwardContext& context,
    const std::function<at::Tensor(const at::Tensor&)>& mean_over_ranks) {
  CriterionResult result;
  result.total = at::zeros({}, memory.tokens.options());
  if (!predictions.layers.empty())
    add_layers(result, predictions, targets, context, mean_over_ranks);
  const FeatureLossInput input{
      memory, targets, context,
      mean_over_ranks ? mean_over_ranks : [](const at::Tensor& x) { return x; }};
  for (const FeatureTerm& term : features_) {
    const at::Tensor value = term.loss->forward(input);
    result.terms.push_back({term.name, value, term.weight});
    if (term.weight != 0.0) result.total = result.total + term.weight * value;
  }
  return result;
}

void Criterion::add_layers(CriterionResult& result, const Predictions& predictions,
                           const Targets& targets, const ForwardContext& context,
                           const std::function<at::Tensor(const at::Tensor&)>& mean_over_ranks) {
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
}

}  // namespace tessera
