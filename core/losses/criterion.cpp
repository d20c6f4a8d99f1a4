#include "core/losses/criterion.h"

#include <ATen/ATen.h>

#include <algorithm>

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
    : num_queries_(context.queries.num_queries), matcher_(context.make(options.matcher)) {
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

CriterionResult Criterion::forward(const Memory& memory, const Predictions& predictions,
                                   const Targets& targets, const ForwardContext& context) {
  return forward(memory, predictions, targets, context, WholeBatch::of(targets));
}

CriterionResult Criterion::forward(const Memory& memory, const Predictions& predictions,
                                   const Targets& targets, const ForwardContext& context,
                                   const WholeBatch& whole) {
  CriterionResult result;
  result.total = at::zeros({}, memory.tokens.options());
  if (!predictions.layers.empty()) add_layers(result, predictions, targets, context, whole);
  const FeatureLossInput input{memory, targets, context,
                               whole.mean ? whole.mean : [](const at::Tensor& x) { return x; }};
  for (const FeatureTerm& term : features_) {
    const at::Tensor value = term.loss->forward(input);
    result.terms.push_back({term.name, value, term.weight});
    if (term.weight != 0.0) result.total = result.total + term.weight * value;
  }
  return result;
}

bool Criterion::knows_matched_pairs(const BatchCounts& counts) const {
  return matcher_->matches_every_instance() &&
         counts.most_instances <= static_cast<double>(num_queries_);
}

bool Criterion::needs_predictions_of_batch(const BatchCounts& counts) const {
  const bool knows_pairs = knows_matched_pairs(counts);
  for (const Term& term : terms_) {
    const BatchSum sum = term.loss->batch_sum();
    if (sum == BatchSum::predictions || (sum == BatchSum::matches && !knows_pairs)) return true;
  }
  for (const FeatureTerm& term : features_)
    if (term.loss->needs_batch_sum()) return true;
  return false;
}

void Criterion::add_layers(CriterionResult& result, const Predictions& predictions,
                           const Targets& targets, const ForwardContext& context,
                           const WholeBatch& whole) {
  // A batch without any instance has losses, too (classes); none is divided by zero.
  const double least = 1.0 / static_cast<double>(whole.pieces);
  const BatchCounts& counts = whole.counts;

  const int64_t last = static_cast<int64_t>(predictions.layers.size()) - 1;
  for (int64_t layer = last; layer >= 0; --layer) {
    const LayerPrediction& prediction = predictions.layers[layer];
    result.matches.insert(result.matches.begin(),
                          matcher_->match(layer, prediction, targets, context));
    LossInput input(layer, prediction, targets, result.matches.front(), context);
    input.num_instances = std::max(counts.instances, least);
    input.num_instance_frames = std::max(counts.instance_frames, least);
    input.num_valid_frames = std::max(counts.valid_frames, least);
    if (whole.pieces > 1 && knows_matched_pairs(counts)) {
      input.num_matched = counts.instances;
      input.num_matched_frames = counts.valid_frames;
    }
    if (whole.mean) input.mean_over_batch = input.mean_over_ranks = whole.mean;
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
