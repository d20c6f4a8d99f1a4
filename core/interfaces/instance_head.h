#pragma once

#include "core/interfaces/decoder.h"
#include "core/interfaces/part.h"
#include "core/structures/predictions.h"

namespace tessera {

/// Instance embeddings -> classes and boxes.
class TESSERA_API InstanceHead : public Part {
 public:
  static constexpr const char* kKind = "instance_head";
  ~InstanceHead() override;

  /// in: the embeddings of decoder layer `layer`, `num_frames` T of the clip.
  /// out: what was wanted; classes as ClassLogits says, boxes [B,T,Q,4] cx cy w h, sigmoid.
  virtual LayerPrediction forward(int64_t layer, const InstanceLayer& embeddings,
                                  int64_t num_frames, PredictionWant want,
                                  const ForwardContext& context) = 0;
  /// Whether LayerPrediction::identity is given where it is wanted.
  virtual bool gives_identity() const { return false; }
};

}  // namespace tessera
