#pragma once

#include "core/interfaces/part.h"
#include "core/structures/features.h"
#include "core/structures/predictions.h"

namespace tessera {

/// What a decoder wants to know of a layer's prediction.
struct PredictionWant {
  bool classes = false;
  bool boxes = false;
  bool masks = false;
};

/// Runs the composed heads on one layer, so that a decoder may use the boxes (iterative
/// refinement) or masks (masked attention) of the layer before. What a decoder asked for is kept
/// and not computed again for the losses.
class TESSERA_API InstancePredictor {
 public:
  virtual ~InstancePredictor();
  virtual LayerPrediction predict(int64_t layer, const InstanceLayer& embeddings,
                                  PredictionWant want) = 0;
};

/// Memory + object queries -> instance embeddings.
class TESSERA_API Decoder : public Part {
 public:
  static constexpr const char* kKind = "decoder";
  ~Decoder() override;

  /// Most decoders never call `predictor`. A decoder that may begin with its learnt queries gives
  /// one layer more than it has.
  virtual InstanceEmbeddings forward(const Memory& memory, InstancePredictor& predictor,
                                     const ForwardContext& context) = 0;
  virtual QuerySpec spec() const = 0;
  virtual ClipNeeds needs() const { return {}; }
};

}  // namespace tessera
