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
  bool identity = false;
};

/// Runs the composed heads on one layer, so that a decoder may use the boxes (iterative
/// refinement) or masks (masked attention) of the layer before. What a decoder asked for is kept
/// and not computed again for the losses.
class TESSERA_API InstancePredictor {
 public:
  virtual ~InstancePredictor();
  /// `layer` is the index of InstanceEmbeddings::layers at which `embeddings` will stand, and the
  /// same tensors have to stand there. out: over pieces (QuerySpec::piece_frames).
  virtual LayerPrediction predict(int64_t layer, const InstanceLayer& embeddings,
                                  PredictionWant want) = 0;
};

/// What a decoder reads beside today's memory; checked when a model is composed.
struct StageReads {
  bool memory = true;     // cells of the memory
  bool prefix = false;    // prefix tokens: of the memory if it is read, else of the pyramid
  bool rotation = false;  // the rotation of the memory if it is read, else of the pyramid
  int64_t stages = 0;     // earlier stages that must be there
  // Members that the last layer of the stage before must give.
  bool raw = false, anchor = false, source = false, identity = false;
};

/// What a decoder is given. References are good for the call; tensors may be kept.
struct DecoderInput {
  const FeaturePyramid& pyramid;
  const Memory& memory;
  InstancePredictor& predictor;
  const ForwardContext& context;
  std::vector<const StageOutput*> earlier{};  // all stages before, first to last
  /// What the window before left; null or at its start: a video begins. Never changed.
  const VideoState* state = nullptr;
};

struct DecoderOutput {
  InstanceEmbeddings embeddings;
  VideoState state{};  // for the next window; QuerySpec::keeps_state
};

/// Memory + object queries -> instance embeddings. A decoder overrides forward() or decode().
class TESSERA_API Decoder : public Part {
 public:
  static constexpr const char* kKind = "decoder";
  ~Decoder() override;

  /// For decoders that see one clip and nothing else. Most never call `predictor`. A decoder that
  /// may begin with its learnt queries gives one layer more than it has. By default throws
  /// PluginError.
  virtual InstanceEmbeddings forward(const Memory& memory, InstancePredictor& predictor,
                                     const ForwardContext& context);
  /// For decoders of further stages, with a state, or with features of their own. A training clip
  /// and a window of a video are the same call. By default forward().
  virtual DecoderOutput decode(const DecoderInput& input);
  virtual StageReads reads() const { return {}; }
  virtual QuerySpec spec() const = 0;
  virtual ClipNeeds needs() const { return {}; }
};

}  // namespace tessera
