#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/interfaces/auxiliary.h"
#include "core/losses/criterion_options.h"

namespace tessera {

/// What the criterion is told of a stage of the model.
struct StageFacts {
  std::string name;
  QuerySpec queries;
};

/// What a stage's criterion sees of a training step. References and pointers are good for the call.
struct StageLossInput {
  const StageOutput& output;
  const Targets& targets;                  // over the stage's pieces
  const std::vector<BatchCounts>& counts;  // as StageCriterion::counts() of the whole batch
  const ForwardContext& context;
  const WholeBatch& whole;
  const ClipBatch* batch = nullptr;
  std::vector<const StageLosses*> earlier{};
  const LayerPrediction* guide = nullptr;  // matched in place of the own predictions
};

/// What a stage adds to the loss.
struct StageLossOutput {
  std::vector<Matches> matches;  // per entry of the stage's layers
  at::Tensor total;              // the sum so far, then with this stage's terms
  std::vector<NamedLoss> terms;  // "<term>" of the last layer, "<term>_<i>" of layer i before it
};

/// Matcher and loss terms of one stage of the model.
class StageCriterion {
 public:
  /// The parts become modules of `owner`: "matcher" and the terms' names.
  StageCriterion(const StageFacts& facts, const StageLossOptions& options,
                 const BuildContext& context, torch::nn::Module& owner);

  bool has_terms() const { return !terms_.empty(); }
  /// Whether a term reads what earlier stages were matched to.
  bool reads_earlier_matches() const;
  /// Whether the stage sees clips as they are, so that the counts of the batch are its own.
  bool sees_whole_clips() const { return facts_.queries.piece_frames == 0 && !is_stacked_; }
  /// Targets over the stage's pieces.
  Targets pieces(const Targets& clips) const;
  /// What losses are normalised by: one entry, or one for each piece of a clip that is normalised
  /// by itself.
  std::vector<BatchCounts> counts(const Targets& clips) const;
  /// See Criterion::needs_predictions_of_batch().
  bool needs_predictions(const std::vector<BatchCounts>& counts) const;

  /// Matches every layer and adds the terms, last layer first. Layers of several copies (see
  /// InstanceEmbeddings) give the mean over the copies.
  void add_to(StageLossOutput& output, const StageLossInput& input) const;

 private:
  struct Term {
    std::string name;
    std::shared_ptr<Loss> loss;
    double weight;
    bool last_layer_only;
  };
  struct Group;

  std::vector<Group> groups_of(const Targets& targets, const StageLossInput& input) const;
  LossInput loss_input(const Group& group, int64_t layer, const StageLossInput& input) const;
  bool knows_matched_pairs(const BatchCounts& counts) const;

  StageFacts facts_;
  bool is_stacked_, is_summed_;
  bool keep_absent_;
  std::shared_ptr<Matcher> matcher_;
  std::vector<Term> terms_;
};

/// A term's options as the criterion needs them, a LossTermOptions or a FeatureLossOptions.
/// Throws PluginError where the plugin's options are none.
template <class Base>
const Base& term_options(const PluginChoice& choice) {
  const SchemaBase& schema = choice.descriptor->schema();
  const Base* base = schema.template view<Base>(choice.options.get());
  if (!base)
    throw PluginError(choice.source.text() + ": loss '" + choice.name +
                      "': expected options derived from LossTermOptions or FeatureLossOptions, "
                      "whose describe() calls describe_term(), got others.");
  return *base;
}

}  // namespace tessera
