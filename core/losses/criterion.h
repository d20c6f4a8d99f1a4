#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/interfaces/auxiliary.h"
#include "core/interfaces/build_context.h"
#include "core/losses/criterion_options.h"
#include "core/losses/stage_criterion.h"
#include "core/losses/term_options.h"

namespace tessera {

/// What the criterion sees of a training step. References and pointers are good for the call of
/// Criterion::forward(), and as long as CriterionResult::stages is read.
struct CriterionInput {
  const Memory& memory;
  /// Of the model's stages, first to last; empty for a model without a decoder.
  const std::vector<StageOutput>& stages;
  const Targets& targets;  // of the clips
  const ForwardContext& context;
  const ClipBatch* batch = nullptr;
  /// The batch that `targets` are a piece of; none: they are all of it.
  std::optional<WholeBatch> whole{};
};

struct CriterionResult {
  at::Tensor total;  // scalar: weighted sum
  /// "<term>" of the last layer, "<term>_<i>" of layer i before it; those of further stages as
  /// "<stage>.<term>"; feature losses come last.
  std::vector<NamedLoss> terms;
  std::vector<Matches> matches;  // of the first stage, per layer
  /// Of all stages. `output` points into CriterionInput::stages (null where there were none),
  /// `targets` into CriterionInput::targets or into `piece_targets`.
  std::vector<StageLosses> stages{};
  std::vector<std::shared_ptr<const Targets>> piece_targets{};
};

/// Matches every layer and sums the terms over layers, stage by stage; then adds the feature
/// losses. A model without decoder layers (pre-training of a backbone) has feature losses only.
///
/// A stage in `[loss.stages]` is matched, whether it has terms or not. The first stage of several
/// is matched if it has terms, or if a term of a later stage reads its matches.
class TESSERA_API Criterion : public Part {
 public:
  /// `stages` are those of the model, first to last; empty: one, whose queries `context` states.
  /// Throws ConfigError for options that do not fit them.
  Criterion(const CriterionOptions& options, const BuildContext& context,
            std::vector<StageFacts> stages = {});
  ~Criterion() override;

  CriterionResult forward(const CriterionInput& input);
  /// Of a model with one stage. `targets` are the whole batch.
  CriterionResult forward(const Memory& memory, const Predictions& predictions,
                          const Targets& targets, const ForwardContext& context);
  /// `targets` are a piece of the batch `whole`, whose counts and mean every loss is normalised by.
  CriterionResult forward(const Memory& memory, const Predictions& predictions,
                          const Targets& targets, const ForwardContext& context,
                          const WholeBatch& whole);

  /// What WholeBatch::stages is made of: counts of `targets` for each stage, empty for one that
  /// sees whole clips.
  std::vector<std::vector<BatchCounts>> counts_of(const Targets& targets) const;
  /// Whether losses are normalised by numbers that only the predictions for a batch with these
  /// counts give. WholeBatch::mean must then know the numbers of all parts.
  bool needs_predictions_of_batch(const WholeBatch& batch) const;

 private:
  struct Stage;
  struct FeatureTerm {
    std::string name;
    std::shared_ptr<FeatureLoss> loss;
    double weight;
  };

  void add_stages(CriterionResult& result, const CriterionInput& input, const WholeBatch& whole);
  void add_stage(size_t index, CriterionResult& result, const CriterionInput& input,
                 const WholeBatch& whole);
  bool is_matched(size_t index) const;
  std::vector<BatchCounts> counts_for(size_t index, const WholeBatch& whole,
                                      const Targets& targets) const;

  std::vector<Stage> stages_;
  std::vector<FeatureTerm> features_;
};

}  // namespace tessera
