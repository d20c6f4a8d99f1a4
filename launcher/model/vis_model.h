#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/model/composition.h"
#include "launcher/model/model_options.h"
#include "launcher/model/model_stage.h"
#include "launcher/model/recomputed.h"

namespace tessera {

/// Prefixes of the canonical names of tensors that only training has (parameters of loss terms and
/// of auxiliary networks): kept in checkpoints, left out of weight files.
inline constexpr std::string_view kTrainingOnly = "loss.";
inline constexpr std::string_view kAuxiliary = "auxiliary.";
inline bool is_training_only(std::string_view name) {
  return name.starts_with(kTrainingOnly) || name.starts_with(kAuxiliary);
}

struct NamedTensor {
  std::string name;  // canonical: the reference implementation's name where one exists
  at::Tensor tensor;
  bool is_parameter = true;
  bool is_memory = false;  // a buffer of Part::register_memory
};

/// The names of a model's tensors: canonical, or those before `model.names` (backbone.*, encoder.*,
/// decoder.*, instance_head.*, mask_head.*, stages.<name>.decoder.*, ...).
enum class NameStyle : uint8_t { kCanonical, kComposed };

/// Backbone -> encoder -> stages of a decoder and its heads, composed from plugins.
class VisModel : public torch::nn::Module {
 public:
  VisModel(const ModelOptions& options, const ClipFacts& clip);

  struct Output {
    FeaturePyramid pyramid;
    Memory memory;
    std::vector<StageOutput> stages;
    std::vector<VideoState> states;  // of each stage, for the next window
    const StageOutput& last() const { return stages.back(); }
  };
  /// Every layer of every stage is predicted; masks are lazy. What `context` points to must outlive
  /// the output. With `context.autocast` the parts, masks included, are computed in that type, and
  /// everything in the output is float32. The last stage of a model without decoder layers, which
  /// only trains features, is empty.
  Output forward(const ClipBatch& batch, const ForwardContext& context);

  /// The two halves of forward(). Backbones see each frame by itself: features of a long clip may
  /// be computed in parts and joined along T. `states`: what the window before left, one of each
  /// stage; null: a video starts.
  FeaturePyramid features(const ClipBatch& batch, const ForwardContext& context);
  Output predict(FeaturePyramid pyramid, const ForwardContext& context,
                 const std::vector<VideoState>* states = nullptr);

  // predict() in steps, for videos whose stages see different parts of it. Pyramid and memory are
  // given on in the type that their parts computed them in; what a stage gives is float32.
  size_t num_stages() const { return stages_.size(); }
  const std::string& stage_name(size_t stage) const { return stages_.at(stage).name(); }
  const QuerySpec& stage_spec(size_t stage) const { return stages_.at(stage).spec(); }
  StageReads stage_reads(size_t stage) const { return stages_.at(stage).decoder().reads(); }
  Memory encode(const FeaturePyramid& pyramid, const ForwardContext& context);
  /// `earlier`: the outputs of all stages before, first to last, over the frames of `pyramid`.
  /// Without masks the heads do not read pyramid and memory: for predict_last() to make them.
  StageRun run_stage(size_t stage, const FeaturePyramid& pyramid, const Memory& memory,
                     const std::vector<const StageOutput*>& earlier, const VideoState* state,
                     const ForwardContext& context, bool with_masks = true);
  /// The heads of a stage on its last layer alone, for some frames of a video: `pyramid`, `memory`
  /// and `layer` hold these frames.
  LayerPrediction predict_last(size_t stage, const FeaturePyramid& pyramid, const Memory& memory,
                               InstanceLayer layer, const ForwardContext& context);
  /// Whether a frame's memory depends on no other frame.
  bool encodes_frames_apart() const { return frames_apart_ || encoder_->frames_apart(); }
  /// Whether a frame's masks depend on no other frame's features.
  bool makes_masks_apart(size_t stage) const;

  /// Throws ConfigError if the decoder is to be recomputed and no stage's can be.
  void recompute_activations(const Recomputed& what);

  /// Parts that are not trained: "backbone", "encoder" or names of stages. Their parameters need no
  /// gradients, nothing of them is recomputed, and with `evaluates` they stay in evaluation mode
  /// when the model is set to training. Throws ConfigError for an unknown name.
  void freeze(const std::vector<std::string>& parts, bool evaluates);
  void train(bool on = true) override;

  /// Joined needs of all parts.
  const ClipNeeds& needs() const { return needs_; }
  /// What parts that come after the model are told: clip, pyramid, memory, queries of the last
  /// stage and of those before it.
  const BuildContext& facts() const { return facts_; }
  /// The same for parts that read the predictions of one stage; clip.num_frames is the number of
  /// frames of a prediction.
  BuildContext stage_facts(size_t stage) const;
  /// The composed parts by name: "backbone", "encoder", "decoder", ..., "stages.<name>.decoder",
  /// ...
  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> parts() const;
  /// Parameters and buffers by name, each storage once; the same order in both styles.
  std::vector<NamedTensor> named_tensors(NameStyle style = NameStyle::kCanonical) const;

 private:
  void add_stage(const ModelOptions& options, size_t index);
  FeaturePyramid run_backbone(const ClipBatch& batch, const ForwardContext& context);
  Memory run_encoder(const FeaturePyramid& pyramid, const ForwardContext& context);

  std::vector<std::pair<std::string, std::string>> rules_;
  Recomputed recomputed_;
  bool frames_apart_;
  JoinedNeeds joined_needs_;
  ClipNeeds needs_;
  BuildContext facts_;
  std::shared_ptr<Backbone> backbone_;
  std::shared_ptr<Encoder> encoder_;
  std::vector<ModelStage> stages_;
  std::shared_ptr<torch::nn::Module> further_stages_;  // the parent of all but the first
  struct FrozenPart {
    bool is_frozen = false, evaluates = false;
  };
  FrozenPart frozen_backbone_, frozen_encoder_;
};

}  // namespace tessera
