#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launcher/model/head_runner.h"
#include "launcher/model/model_options.h"
#include "launcher/model/recomputed.h"

namespace tessera {

/// What a stage made of a clip or of a window of a video.
struct StageRun {
  StageOutput output;
  VideoState state;  // for the next window; at its start where the stage keeps none
};

/// A decoder and its heads, composed from plugins.
class ModelStage {
 public:
  /// What the stage's parts are told. `built_for` is what they are made for: with `is_apart` clips
  /// of one frame. Makes the decoder, then the heads, and registers them in `parent`.
  ModelStage(const StageOptions& options, std::string prefix, BuildContext built_for, bool is_apart,
             torch::nn::Module& parent);

  const std::string& name() const { return name_; }
  /// Of the names of its tensors and probes: "" or "stages.<name>.".
  const std::string& prefix() const { return prefix_; }
  /// Over clips; piece_frames = 1 for a stage that sees frames apart.
  const QuerySpec& spec() const { return spec_; }
  bool is_apart() const { return is_apart_; }
  Decoder& decoder() const { return *decoder_; }
  InstanceHead& instance_head() const { return *heads_.instance_head; }
  MaskHead& mask_head() const { return *heads_.mask_head; }
  /// Frames of the clips that the decoder and the heads are made for.
  int64_t decoder_frames() const { return built_for_.clip.num_frames; }
  int64_t head_frames() const { return head_frames_; }
  const StageOptions& options() const { return options_; }
  /// Named as in NameStyle::kComposed.
  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> parts() const;

  /// `pyramid` and `memory` over clips, `earlier` all stages before. All layers are predicted,
  /// masks are lazy; everything is float32. With no layers the output is empty.
  StageRun run(const FeaturePyramid& pyramid, const Memory& memory,
               const std::vector<const StageOutput*>& earlier, const VideoState* state,
               const ForwardContext& context, const Recomputed& recomputed,
               bool with_masks = true) const;

  /// The heads on the last layer alone, whose embeddings are as StageOutput has them.
  LayerPrediction predict_last(const FeaturePyramid& pyramid, const Memory& memory,
                               InstanceLayer layer, const ForwardContext& context) const;

  void freeze(bool evaluates);
  bool is_frozen() const { return is_frozen_; }
  /// After the model's mode was set: a frozen stage that evaluates keeps its mode.
  void keep_mode() const;

 private:
  StageRun run_on(const FeaturePyramid& pyramid, const Memory& memory,
                  const std::vector<const StageOutput*>& earlier, const VideoState* state,
                  const std::shared_ptr<const ForwardContext>& context,
                  const Recomputed& recomputed, bool with_masks) const;
  std::shared_ptr<const ForwardContext> own_context(const ForwardContext& context) const;
  void expect_stated(const DecoderOutput& output) const;

  StageOptions options_;
  std::string name_, prefix_;
  BuildContext built_for_;
  bool is_apart_;
  std::shared_ptr<Decoder> decoder_;
  StageHeads heads_;
  int64_t head_frames_ = 0;
  QuerySpec spec_;
  bool is_frozen_ = false, evaluates_ = false;
};

}  // namespace tessera
