#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/interfaces/instance_head.h"
#include "core/interfaces/mask_head.h"

namespace tessera {

/// The heads of a stage and how they are run.
struct StageHeads {
  std::string decoder;  // name of the plugin, for errors
  QuerySpec queries;    // as the decoder gives them
  std::shared_ptr<InstanceHead> instance_head;
  std::shared_ptr<MaskHead> mask_head;
  bool recompute_masks = false;
  bool predicts_masks = true;  // false: nothing is prepared for masks, and nobody may ask for them
  int64_t mask_rows = 0;       // see Recomputed
};

/// Runs a stage's heads for its decoder, and keeps what was asked for, layer by layer. Heads see
/// pieces where QuerySpec::piece_frames says so, and pixel features of a layer in place of the
/// memory's.
class HeadRunner final : public InstancePredictor {
 public:
  /// `pyramid` and `memory` are over the clips that the decoder sees, and outlive the runner.
  HeadRunner(const StageHeads& heads, const FeaturePyramid& pyramid, const Memory& memory,
             std::shared_ptr<const ForwardContext> context);

  /// Float32. Throws PluginError for a layer whose embeddings were others before, or whose members
  /// are not those that QuerySpec states.
  LayerPrediction predict(int64_t layer, const InstanceLayer& embeddings,
                          PredictionWant want) override;

 private:
  struct Kept {
    InstanceLayer asked, seen;  // as the decoder gave it, and over pieces
    LayerPrediction prediction;
  };

  Kept& kept(int64_t layer, const InstanceLayer& embeddings);
  void expect_stated_members(const InstanceLayer& embeddings) const;
  void prepare(const Memory& memory);
  const PreparedMasks& prepared_for(const InstanceLayer& asked, const InstanceLayer& seen);
  std::string scope(const char* part) const { return context_->prefix + part; }

  const StageHeads& heads_;
  std::shared_ptr<const ForwardContext> context_;
  int64_t num_frames_;    // of the clips that the decoder sees
  int64_t piece_frames_;  // of those that the heads see
  FeaturePyramid pyramid_;
  Memory memory_;
  std::shared_ptr<const PreparedMasks> prepared_;
  at::Tensor prepared_features_;  // the layer's pixel features that prepared_ is for, or undefined
  std::map<int64_t, Kept> kept_;
};

}  // namespace tessera
