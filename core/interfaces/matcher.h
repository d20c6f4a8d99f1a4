#pragma once

#include "core/interfaces/part.h"
#include "core/structures/predictions.h"

namespace tessera {

/// Assigns predictions to ground-truth instances, clip by clip.
class TESSERA_API Matcher : public Part {
 public:
  static constexpr const char* kKind = "matcher";
  ~Matcher() override;

  /// Whether each instance of a clip gets a prediction of its own as long as there are enough, with
  /// ClipMatch::valid that of the instance: the number of trained pairs then follows from the
  /// ground truth, and a batch that is cut into parts needs no extra forward pass to know it.
  virtual bool matches_every_instance() const { return false; }

  /// `layer` names the decoder layer for the context's PointSource.
  virtual Matches match(int64_t layer, const LayerPrediction& prediction, const Targets& targets,
                        const ForwardContext& context) = 0;
};

}  // namespace tessera
