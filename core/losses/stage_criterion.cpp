#include "core/losses/stage_criterion.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/losses/piece_groups.h"
#include "core/losses/term_options.h"
#include "core/structures/pieces.h"

namespace tessera {

/// Pieces that are normalised together: all, or those at one place of their clips.
struct StageCriterion::Group {
  int64_t first = 0, step = 1;
  const BatchCounts* counts = nullptr;
  Targets targets;
  ForwardContext context;
  LayerPrediction prediction;  // of the layer that is computed
  Matches matches;             // likewise
};

namespace {

void add_named(std::vector<NamedLoss>& terms, const std::string& name, const at::Tensor& value,
               double weight) {
  const auto found = std::find_if(terms.begin(), terms.end(),
                                  [&](const NamedLoss& term) { return term.name == name; });
  if (found == terms.end())
    terms.push_back({name, value, weight});
  else
    found->value = found->value + value;
}

}  // namespace

StageCriterion::StageCriterion(const StageFacts& facts, const StageLossOptions& options,
                               const BuildContext& context, torch::nn::Module& owner)
    : facts_(facts),
      is_stacked_(options.view == "stacked"),
      is_summed_(options.pieces == "summed"),
      keep_absent_(options.keep_absent),
      matcher_(context.make(options.matcher)) {
  owner.register_module("matcher", matcher_);
  for (const auto& [name, choice] : options.terms) {
    auto loss = context.make(choice);
    owner.register_module(name, loss);
    const auto& of_term = term_options<LossTermOptions>(choice);
    terms_.push_back({name, std::move(loss), of_term.weight, of_term.layers == "last"});
  }
}

bool StageCriterion::reads_earlier_matches() const {
  return std::any_of(terms_.begin(), terms_.end(),
                     [](const Term& term) { return term.loss->reads_earlier_matches(); });
}

Targets StageCriterion::pieces(const Targets& clips) const {
  const int64_t frames = facts_.queries.piece_frames;
  return frames == 0 ? clips : in_pieces(clips, frames, keep_absent_);
}

std::vector<BatchCounts> StageCriterion::counts(const Targets& clips) const {
  Targets all = pieces(clips);
  if (is_stacked_) all = stacked(all);
  if (!is_summed_ || clips.empty()) return {BatchCounts::of(all)};
  const auto places = static_cast<int64_t>(all.size() / clips.size());
  std::vector<BatchCounts> counts;
  for (int64_t place = 0; place < places; ++place)
    counts.push_back(BatchCounts::of(every_nth(all, place, places)));
  return counts;
}

bool StageCriterion::knows_matched_pairs(const BatchCounts& counts) const {
  return matcher_->matches_every_instance() &&
         counts.most_instances <= static_cast<double>(facts_.queries.num_queries);
}

bool StageCriterion::needs_predictions(const std::vector<BatchCounts>& counts) const {
  const bool knows_pairs =
      std::all_of(counts.begin(), counts.end(),
                  [this](const BatchCounts& group) { return knows_matched_pairs(group); });
  return std::any_of(terms_.begin(), terms_.end(), [knows_pairs](const Term& term) {
    const BatchSum sum = term.loss->batch_sum();
    return sum == BatchSum::predictions || (sum == BatchSum::matches && !knows_pairs);
  });
}

std::vector<StageCriterion::Group> StageCriterion::groups_of(const Targets& targets,
                                                             const StageLossInput& input) const {
  const auto step = static_cast<int64_t>(input.counts.size());
  std::vector<Group> groups(input.counts.size());
  for (int64_t first = 0; first < step; ++first) {
    Group& group = groups[static_cast<size_t>(first)];
    group.first = first;
    group.step = step;
    group.counts = &input.counts[static_cast<size_t>(first)];
    group.targets = step == 1 ? targets : every_nth(targets, first, step);
    group.context = input.context;
    if (step > 1) group.context.prefix += "pieces." + std::to_string(first) + ".";
  }
  return groups;
}

LossInput StageCriterion::loss_input(const Group& group, int64_t layer,
                                     const StageLossInput& input) const {
  LossInput of_group(layer, group.prediction, group.targets, group.matches, group.context);
  // A batch without any instance has losses, too (classes); none is divided by zero.
  const double least = 1.0 / static_cast<double>(input.whole.pieces);
  const BatchCounts& counts = *group.counts;
  of_group.num_instances = std::max(counts.instances, least);
  of_group.num_instance_frames = std::max(counts.instance_frames, least);
  of_group.num_valid_frames = std::max(counts.valid_frames, least);
  if (input.whole.pieces > 1 && knows_matched_pairs(counts)) {
    of_group.num_matched = counts.instances;
    of_group.num_matched_frames = counts.valid_frames;
  }
  if (input.whole.mean) of_group.mean_over_batch = of_group.mean_over_ranks = input.whole.mean;
  if (input.whole.gather_over_ranks) of_group.gather_over_ranks = input.whole.gather_over_ranks;
  if (!input.output.embeddings.layers.empty()) of_group.embeddings = &input.output.embeddings;
  of_group.earlier = input.earlier;
  of_group.batch = input.batch;
  return of_group;
}

void StageCriterion::add_to(StageLossOutput& output, const StageLossInput& input) const {
  const auto& layers = input.output.predictions.layers;
  const auto entries = static_cast<int64_t>(layers.size());
  const int64_t copies = input.output.embeddings.copies;
  if (copies < 1 || entries % copies != 0)
    throw RuntimeError("criterion: expected as many layers of each of the " +
                       std::to_string(copies) + " copies, got " + std::to_string(entries) +
                       " layers.");
  const int64_t last = entries / copies - 1;

  const Targets targets = is_stacked_ ? stacked(input.targets) : input.targets;
  const int64_t frames = input.targets.empty() ? 0 : input.targets.front().valid.size(1);
  const auto seen = [&](const LayerPrediction& prediction) {
    return is_stacked_ ? stacked(prediction, frames) : prediction;
  };
  std::vector<Group> groups = groups_of(targets, input);
  std::optional<Matches> guided;
  if (input.guide)
    guided = matcher_->match(entries - 1, seen(*input.guide), targets, input.context);

  output.matches.resize(layers.size());
  for (int64_t entry = entries - 1; entry >= 0; --entry) {
    const LayerPrediction prediction = seen(layers[static_cast<size_t>(entry)]);
    Matches& matches = output.matches[static_cast<size_t>(entry)];
    matches = guided ? *guided : matcher_->match(entry, prediction, targets, input.context);
    const int64_t layer = entry % (last + 1);
    std::vector<LossInput> inputs;
    for (Group& group : groups) {
      group.prediction =
          groups.size() == 1 ? prediction : every_nth(prediction, group.first, group.step);
      group.matches = groups.size() == 1 ? matches : every_nth(matches, group.first, group.step);
      inputs.push_back(loss_input(group, entry, input));
    }
    for (const Term& term : terms_) {
      if (term.last_layer_only && layer != last) continue;
      at::Tensor value = term.loss->forward(inputs.front());
      for (size_t i = 1; i < inputs.size(); ++i) value = value + term.loss->forward(inputs[i]);
      if (copies > 1) value = value / static_cast<double>(copies);
      add_named(output.terms, layer == last ? term.name : term.name + "_" + std::to_string(layer),
                value, term.weight);
      if (term.weight != 0.0) output.total = output.total + term.weight * value;
    }
  }
}

}  // namespace tessera
