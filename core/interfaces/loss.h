#pragma once

#include <map>
#include <memory>
#include <optional>

#include "core/interfaces/part.h"
#include "core/nn/points.h"
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

/// What a loss term sees of one decoder layer.
class TESSERA_API LossInput {
 public:
  LossInput(int64_t layer, const LayerPrediction& prediction, const Targets& targets,
            const Matches& matches, const ForwardContext& context)
      : layer(layer),
        prediction(prediction),
        targets(targets),
        matches(matches),
        context(context) {}

  /// The mask pairs of this layer, whole or at points; mask terms that want the same share them.
  const MatchedMasks& matched_masks(const std::optional<PointSampling>& points = {}) const;
  /// The same on the mask head's own cells of `stride` pixels: logits as they are, targets at the
  /// pixel in the middle of each cell, empty where the cells reach beyond them. Throws ConfigError
  /// where the head's cells cannot have this stride.
  const MatchedMasks& matched_cells(int64_t stride) const;

  int64_t layer;
  const LayerPrediction& prediction;
  const Targets& targets;
  const Matches& matches;
  const ForwardContext& context;
  double num_instances = 0;        // instances of the batch, mean over ranks, at least 1
  double num_instance_frames = 0;  // instances * frames, absent frames included, likewise
  double num_valid_frames = 0;     // (instance, frame) pairs where the instance is there, likewise
  /// Sums a number over all ranks and divides by their count; identity in one process. For
  /// normalisers that only a term knows (class-weight sums).
  std::function<at::Tensor(const at::Tensor&)> mean_over_ranks = [](const at::Tensor& x) {
    return x;
  };

 private:
  void expect_masks() const;
  MatchedMasks whole_masks() const;
  MatchedMasks masks_on_cells(int64_t stride) const;
  MatchedMasks masks_at_points(const PointSampling& sampling) const;

  mutable std::map<std::optional<PointSampling>, MatchedMasks> masks_;
  mutable std::map<int64_t, MatchedMasks> cells_;  // by stride
};

/// One term of the training loss; `[loss.terms.<name>]` composes terms with weights and layers.
class TESSERA_API Loss : public Part {
 public:
  static constexpr const char* kKind = "loss";
  ~Loss() override;
  /// out: a scalar, already normalised, not yet weighted.
  virtual at::Tensor forward(const LossInput& input) = 0;
};

}  // namespace tessera
