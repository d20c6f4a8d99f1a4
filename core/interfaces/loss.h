#pragma once

#include <ATen/core/grad_mode.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/interfaces/part.h"
#include "core/nn/points.h"
#include "core/structures/batch_counts.h"
#include "core/structures/predictions.h"

namespace tessera {

/// Mask logits of the batch's R matched pairs with their targets, computed at most once a layer.
/// All tensors are undefined where no pair is matched. The last dimensions are H, W, the targets'
/// size or the mask head's, or P where masks are compared at points.
struct MatchedMasks {
  at::Tensor track_logits;  // [R,T,H,W] or [R,T,P]
  at::Tensor track_target;  // the same, float 0..1, empty in frames without the instance
  at::Tensor valid;         // [R,T] bool: trained (pair, frame)
  at::Tensor logits;        // [V,H,W] or [V,P] of the V trained (pair, frame)
  at::Tensor target;        // the same
};

/// The whole batch of an optimiser step, of which a loss sees one piece: the step's batch may be
/// cut into parts (train.accumulation) and spread over ranks. If losses are divided by these
/// numbers, the mean of the pieces' losses is the loss of the whole batch.
struct WholeBatch {
  /// Counts of the whole batch divided by its number of pieces.
  BatchCounts counts;
  int64_t pieces = 1;  // parts of all ranks together; all have the same number of clips
  /// Sum of a number over all pieces divided by their number, for normalisers that only a loss
  /// knows. If a rank has several parts, it is for what Loss::batch_sum() announced. Empty: the
  /// identity.
  std::function<at::Tensor(const at::Tensor&)> mean;
  /// For each stage of the model, counts of the batch as that stage sees it if it cuts clips into
  /// pieces or stacks their frames (Criterion::counts_of), divided as `counts` are. Empty: the
  /// criterion counts its own batch, which is right only for a batch in one piece.
  std::vector<std::vector<BatchCounts>> stages{};
  /// See LossInput::gather_over_ranks. Empty: there is one rank.
  std::function<at::Tensor(const at::Tensor&)> gather_over_ranks{};

  /// A batch in one piece.
  static WholeBatch of(const Targets& targets) { return {BatchCounts::of(targets), 1, {}, {}, {}}; }
};

/// What a loss passes to LossInput::mean_over_batch.
enum class BatchSum {
  none,         // nothing
  matches,      // numbers of matched pairs, if LossInput::num_matched is not known
  predictions,  // something else
};

/// What the criterion found in an earlier stage of the model: predictions and targets over the
/// pieces of that stage. `matches` [num layers] is empty for a stage that is not matched; with
/// `view = "stacked"` their ClipMatch::valid is [R,1]. Pointers are good for the call of
/// Loss::forward() that they were given to.
struct StageLosses {
  const StageOutput* output = nullptr;
  const Targets* targets = nullptr;
  std::vector<Matches> matches{};
};

/// What a loss term sees of one decoder layer. References, pointers and functions are good for the
/// call of Loss::forward(), and so is what matched_masks() and the like return; tensors may be
/// kept.
class TESSERA_API LossInput {
 public:
  LossInput(int64_t layer, const LayerPrediction& prediction, const Targets& targets,
            const Matches& matches, const ForwardContext& context)
      : layer(layer),
        prediction(prediction),
        targets(targets),
        matches(matches),
        context(context),
        with_gradients_(at::GradMode::is_enabled()) {}

  /// The mask pairs of this layer, whole or at points; mask terms that want the same share them.
  /// They have gradients if the criterion runs with gradients, even where the term that asks first
  /// does not.
  const MatchedMasks& matched_masks(const std::optional<PointSampling>& points = {}) const;
  /// The same on the mask head's own cells of `stride` pixels: logits as they are, targets at the
  /// pixel in the middle of each cell, empty where the cells reach beyond them. Throws ConfigError
  /// where the head's cells cannot have this stride.
  const MatchedMasks& matched_cells(int64_t stride) const;
  /// The same on cells of `stride` pixels, ceil(size / stride) of them on each side: logits and
  /// targets both resized bilinearly to that number.
  const MatchedMasks& resized_masks(int64_t stride) const;

  int64_t layer;
  // Of the stage's pieces: B' = B * T / n clips of n = QuerySpec::piece_frames frames.
  const LayerPrediction& prediction;
  const Targets& targets;
  const Matches& matches;
  const ForwardContext& context;
  // Counts of the whole batch divided by its number of pieces; in all of it at least 1.
  double num_instances = 0;
  double num_instance_frames = 0;  // instances * frames, absent frames included
  double num_valid_frames = 0;     // (instance, frame) pairs in which the instance is visible
  /// Matched pairs and their trained frames, counted likewise, if they are known before the
  /// predictions are; else they are the matches' own, passed through mean_over_batch.
  std::optional<double> num_matched, num_matched_frames;
  /// WholeBatch::mean.
  std::function<at::Tensor(const at::Tensor&)> mean_over_batch = [](const at::Tensor& x) {
    return x;
  };
  /// Deprecated: mean_over_batch under the name it had when batches came in one part.
  std::function<at::Tensor(const at::Tensor&)> mean_over_ranks = [](const at::Tensor& x) {
    return x;
  };
  /// Of this stage, over clips of T frames; null where the caller has predictions only.
  const InstanceEmbeddings* embeddings = nullptr;
  std::vector<const StageLosses*> earlier{};  // all stages before, first to last
  const ClipBatch* batch = nullptr;           // the frames, or null
  /// Rows [R,...] of all ranks in their order, without gradients; each rank has an R of its own.
  /// For memories that must stay equal on all ranks. Every rank must make the same calls: a term
  /// without rows of its own passes none ([0,...]).
  std::function<at::Tensor(const at::Tensor&)> gather_over_ranks = [](const at::Tensor& x) {
    return x.detach();
  };

 private:
  void expect_masks() const;
  /// On the targets' own pixels, or on cells of `stride` pixels.
  MatchedMasks masks_of_size(std::optional<int64_t> stride) const;
  MatchedMasks masks_on_cells(int64_t stride) const;
  MatchedMasks masks_at_points(const PointSampling& sampling) const;
  at::Tensor points_of_pairs(const std::string& use, int64_t num_points) const;

  bool with_gradients_;
  mutable std::map<std::optional<PointSampling>, MatchedMasks> masks_;
  mutable std::map<int64_t, MatchedMasks> cells_, resized_;  // by stride
};

/// One term of the training loss; `[loss.terms.<name>]` composes terms with weights and layers.
class TESSERA_API Loss : public Part {
 public:
  static constexpr const char* kKind = "loss";
  ~Loss() override;
  /// What forward() passes to LossInput::mean_over_batch. Numbers that are not known before the
  /// predictions cost a forward pass more where a batch comes in several parts.
  virtual BatchSum batch_sum() const { return BatchSum::none; }
  /// Whether forward() reads StageLosses::matches of LossInput::earlier: the model's first stage is
  /// then matched even where it has no terms of its own.
  virtual bool reads_earlier_matches() const { return false; }
  /// out: a scalar, already normalised, not yet weighted.
  virtual at::Tensor forward(const LossInput& input) = 0;
};

}  // namespace tessera
