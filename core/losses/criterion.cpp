#include "core/losses/criterion.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/losses/guide.h"
#include "core/structures/pieces.h"

namespace tessera {

struct Criterion::Stage {
  StageFacts facts;
  std::optional<StageCriterion> criterion;  // none: neither matched nor trained
  std::optional<size_t> guide;              // index of the stage
  double guide_until = 0;
};

namespace {

constexpr const char* kFirstStage = "segmenter";

std::vector<std::string> names_of(const std::vector<StageFacts>& stages) {
  std::vector<std::string> names;
  for (const StageFacts& stage : stages) names.push_back(stage.name);
  return names;
}

/// The index of the stage `name` among the first `end`. `key` names the option that holds the name.
size_t find_stage(const std::vector<StageFacts>& stages, size_t first, size_t end,
                  const std::string& name, const std::string& key) {
  std::vector<std::string> known = names_of(stages);
  known = {known.begin() + static_cast<std::ptrdiff_t>(first),
           known.begin() + static_cast<std::ptrdiff_t>(end)};
  const auto found = std::find(known.begin(), known.end(), name);
  if (found == known.end())
    throw ConfigError(key + ": expected one of " + (known.empty() ? "no stages" : join(known)) +
                      ", got '" + name + "'." + suggestion(name, known));
  return first + static_cast<size_t>(found - known.begin());
}

}  // namespace

Criterion::Criterion(const CriterionOptions& options, const BuildContext& context,
                     std::vector<StageFacts> stages) {
  if (stages.empty()) stages.push_back({kFirstStage, context.queries});
  std::vector<BuildContext> contexts;
  for (const StageFacts& facts : stages) {
    BuildContext own = context;
    own.queries = facts.queries;
    if (facts.queries.piece_frames > 0) own.clip.num_frames = facts.queries.piece_frames;
    own.earlier.clear();
    for (size_t i = 0; i < contexts.size(); ++i) own.earlier.push_back(stages[i].queries);
    contexts.push_back(std::move(own));
    stages_.push_back({facts, {}, {}, 0});
  }
  stages_[0].criterion.emplace(stages[0], options, contexts[0], *this);
  std::shared_ptr<torch::nn::Module> further;
  for (const auto& [name, of_stage] : options.stages) {
    const std::string key = "loss.stages." + name;
    if (name == stages[0].name)
      throw ConfigError(key + ": expected a further stage of the model, got its first, whose " +
                        "matcher and terms stand in [loss] itself.");
    const size_t index =
        find_stage(stages, 1, stages.size(), name, key + ": name of a further stage");
    if (!further) further = register_module("stages", std::make_shared<torch::nn::Module>());
    const auto owner = further->register_module(name, std::make_shared<torch::nn::Module>("stage"));
    Stage& stage = stages_[index];
    stage.criterion.emplace(stages[index], of_stage, contexts[index], *owner);
    stage.guide_until = of_stage.guide_until;
    if (!of_stage.guide.empty())
      stage.guide = find_stage(stages, 0, index, of_stage.guide, key + ".guide");
  }
  for (const auto& [name, choice] : options.features) {
    auto loss = context.make(choice);
    register_module("features_" + name, loss);
    features_.push_back({name, std::move(loss), term_options<FeatureLossOptions>(choice).weight});
  }
}

Criterion::~Criterion() = default;

CriterionResult Criterion::forward(const Memory& memory, const Predictions& predictions,
                                   const Targets& targets, const ForwardContext& context) {
  return forward(memory, predictions, targets, context, WholeBatch::of(targets));
}

CriterionResult Criterion::forward(const Memory& memory, const Predictions& predictions,
                                   const Targets& targets, const ForwardContext& context,
                                   const WholeBatch& whole) {
  const std::vector<StageOutput> stages{
      {{}, predictions, stages_.front().facts.queries.piece_frames}};
  CriterionResult result = forward({memory, stages, targets, context, nullptr, whole});
  for (StageLosses& stage : result.stages) stage.output = nullptr;
  return result;
}

CriterionResult Criterion::forward(const CriterionInput& input) {
  const WholeBatch whole = input.whole ? *input.whole : WholeBatch::of(input.targets);
  CriterionResult result;
  result.total = at::zeros({}, input.memory.tokens.options());
  add_stages(result, input, whole);
  const FeatureLossInput of_features{
      input.memory, input.targets, input.context,
      whole.mean ? whole.mean : [](const at::Tensor& x) { return x; }};
  for (const FeatureTerm& term : features_) {
    const at::Tensor value = term.loss->forward(of_features);
    result.terms.push_back({term.name, value, term.weight});
    if (term.weight != 0.0) result.total = result.total + term.weight * value;
  }
  return result;
}

void Criterion::add_stages(CriterionResult& result, const CriterionInput& input,
                           const WholeBatch& whole) {
  if (input.stages.empty()) return;
  if (input.stages.size() != stages_.size())
    throw RuntimeError("criterion: expected the outputs of " + std::to_string(stages_.size()) +
                       " stages, got " + std::to_string(input.stages.size()) + ".");
  result.stages.reserve(stages_.size());  // terms of later stages see pointers to the elements
  for (size_t i = 0; i < stages_.size(); ++i) add_stage(i, result, input, whole);
  result.matches = result.stages.front().matches;
}

void Criterion::add_stage(size_t index, CriterionResult& result, const CriterionInput& input,
                          const WholeBatch& whole) {
  const Stage& stage = stages_[index];
  const StageOutput& output = input.stages[index];
  result.stages.push_back({&output, &input.targets, {}});
  StageLosses& own = result.stages.back();
  if (output.predictions.layers.empty()) return;
  const int64_t frames = input.targets.empty() ? 0 : input.targets.front().valid.size(1);
  const auto in_frames = [frames](int64_t piece) { return piece > 0 ? piece : frames; };
  if (in_frames(output.piece_frames) != in_frames(stage.facts.queries.piece_frames))
    throw RuntimeError(
        "criterion: expected predictions of the stage '" + stage.facts.name + "' for pieces of " +
        std::to_string(in_frames(stage.facts.queries.piece_frames)) + " frames, got pieces of " +
        std::to_string(in_frames(output.piece_frames)) + ".");
  if (const int64_t piece = stage.facts.queries.piece_frames; piece > 0) {
    result.piece_targets.push_back(std::make_shared<const Targets>(
        stage.criterion ? stage.criterion->pieces(input.targets)
                        : in_pieces(input.targets, piece, /*keep_absent=*/false)));
    own.targets = result.piece_targets.back().get();
  }
  if (!is_matched(index)) return;

  ForwardContext context = input.context;
  if (index > 0) context.prefix += "stages." + stage.facts.name + ".";
  const std::vector<BatchCounts> counts = counts_for(index, whole, input.targets);
  StageLossInput of_stage{output, *own.targets, counts, context, whole, input.batch};
  for (size_t i = 0; i < index; ++i) of_stage.earlier.push_back(&result.stages[i]);
  LayerPrediction guide;
  if (stage.guide && input.context.progress < stage.guide_until) {
    guide = guided_prediction(input.stages, *stage.guide, index, frames);
    of_stage.guide = &guide;
  }
  StageLossOutput sum{{}, result.total, {}};
  stage.criterion->add_to(sum, of_stage);
  own.matches = std::move(sum.matches);
  result.total = std::move(sum.total);
  for (NamedLoss& term : sum.terms) {
    if (index > 0) term.name.insert(0, stage.facts.name + ".");
    result.terms.push_back(std::move(term));
  }
}

bool Criterion::is_matched(size_t index) const {
  if (index > 0) return stages_[index].criterion.has_value();
  if (stages_.size() == 1 || stages_[0].criterion->has_terms()) return true;
  return std::any_of(stages_.begin() + 1, stages_.end(), [](const Stage& stage) {
    return stage.criterion && stage.criterion->reads_earlier_matches();
  });
}

std::vector<std::vector<BatchCounts>> Criterion::counts_of(const Targets& targets) const {
  std::vector<std::vector<BatchCounts>> counts;
  for (const Stage& stage : stages_) {
    const bool has_own = stage.criterion && !stage.criterion->sees_whole_clips();
    counts.push_back(has_own ? stage.criterion->counts(targets) : std::vector<BatchCounts>());
  }
  return counts;
}

std::vector<BatchCounts> Criterion::counts_for(size_t index, const WholeBatch& whole,
                                               const Targets& targets) const {
  const StageCriterion& criterion = *stages_[index].criterion;
  if (criterion.sees_whole_clips()) return {whole.counts};
  if (whole.stages.size() == stages_.size()) return whole.stages[index];
  if (whole.pieces > 1)
    throw RuntimeError("criterion: expected WholeBatch::stages for a batch in " +
                       std::to_string(whole.pieces) + " parts, got counts of whole clips only.");
  return criterion.counts(targets);
}

bool Criterion::needs_predictions_of_batch(const WholeBatch& batch) const {
  for (size_t i = 0; i < stages_.size(); ++i) {
    if (!is_matched(i)) continue;
    const bool has_own = i < batch.stages.size() && !batch.stages[i].empty();
    if (stages_[i].criterion->needs_predictions(has_own ? batch.stages[i]
                                                        : std::vector<BatchCounts>{batch.counts}))
      return true;
  }
  return std::any_of(features_.begin(), features_.end(),
                     [](const FeatureTerm& term) { return term.loss->needs_batch_sum(); });
}

}  // namespace tessera
