#pragma once

#include "core/interfaces/part.h"
#include "core/structures/predictions.h"

namespace tessera {

/// Assigns predictions to ground-truth instances, clip by clip.
class TESSERA_API Matcher : public Part {
 public:
  static constexpr const char* kKind = "matcher";
  ~Matcher() override;

  /// `layer` names the decoder layer for the context's PointSource.
  virtual Matches match(int64_t layer, const LayerPrediction& prediction, const Targets& targets,
                        const ForwardContext& context) = 0;
};

}  // namespace tessera
