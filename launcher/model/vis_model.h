#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/interfaces/auxiliary.h"
#include "core/interfaces/backbone.h"
#include "core/interfaces/build_context.h"
#include "core/interfaces/decoder.h"
#include "core/interfaces/encoder.h"
#include "core/interfaces/instance_head.h"
#include "core/interfaces/mask_head.h"

namespace tessera {

/// `[model.names]`-style rule: a regular expression on structural names and what replaces it.
struct NameRule {
  std::string from, to;
  static void describe(Schema<NameRule>& schema);
};

/// `[model]`: the five parts of every system.
struct ModelOptions {
  PluginOf<Backbone> backbone;
  PluginOf<Encoder> encoder;
  PluginOf<Decoder> decoder;
  PluginOf<InstanceHead> instance_head;
  PluginOf<MaskHead> mask_head;
  std::vector<NameRule> names;
  static void describe(Schema<ModelOptions>& schema);
};

/// Prefixes of the canonical names of tensors that only training has (parameters of loss terms and
/// of auxiliary networks): kept in checkpoints, left out of weight files.
inline constexpr std::string_view kTrainingOnly = "loss.";
inline constexpr std::string_view kAuxiliary = "auxiliary.";
inline bool is_training_only(std::string_view name) {
  return name.starts_with(kTrainingOnly) || name.starts_with(kAuxiliary);
}

/// Parts whose activations are computed a second time in backward instead of being kept: the same
/// gradients with less memory and more time.
struct Recomputed {
  bool backbone = false, encoder = false, masks = false;
  int64_t mask_rows = 0;  // instances whose masks are computed at a time; 0: all

  /// in: names of the first three. Throws ConfigError for another name.
  static Recomputed parts(const std::vector<std::string>& names, int64_t mask_rows = 0);
};

struct NamedTensor {
  std::string name;  // canonical: the reference implementation's name where one exists
  at::Tensor tensor;
  bool is_parameter = true;
};

/// The names of a model's tensors: canonical, or those before `model.names` (backbone.*, encoder.*,
/// decoder.*, instance_head.*, mask_head.*).
enum class NameStyle : uint8_t { kCanonical, kComposed };

/// Backbone -> encoder -> decoder -> heads, composed from plugins.
class VisModel : public torch::nn::Module {
 public:
  VisModel(const ModelOptions& options, const ClipFacts& clip);

  struct Output {
    FeaturePyramid pyramid;
    Memory memory;
    InstanceEmbeddings embeddings;
    Predictions predictions;
  };
  /// Every layer is predicted; masks are lazy. `context` must outlive the output. With
  /// `context.autocast` the parts, masks included, are computed in that type, and everything in the
  /// output is float32.
  Output forward(const ClipBatch& batch, const ForwardContext& context);

  /// The two halves of forward(). Backbones see each frame by itself: features of a long clip may
  /// be computed in parts and joined along T.
  FeaturePyramid features(const ClipBatch& batch, const ForwardContext& context);
  Output predict(FeaturePyramid pyramid, const ForwardContext& context);

  void recompute_activations(const Recomputed& what) { recomputed_ = what; }

  /// Joined needs of all parts.
  const ClipNeeds& needs() const { return needs_; }
  /// What parts that come after the model are told: clip, pyramid, memory, queries.
  const BuildContext& facts() const { return facts_; }
  /// Parameters and buffers by name, each storage once; the same order in both styles.
  std::vector<NamedTensor> named_tensors(NameStyle style = NameStyle::kCanonical) const;

 private:
  FeaturePyramid run_backbone(const ClipBatch& batch, const ForwardContext& context);
  Memory run_encoder(const FeaturePyramid& pyramid, const ForwardContext& context);
  void decode(Output& output, int64_t num_frames, at::Device device, const ForwardContext& context);

  std::vector<std::pair<std::string, std::string>> rules_;
  Recomputed recomputed_;
  ClipNeeds needs_;
  BuildContext facts_;
  std::shared_ptr<Backbone> backbone_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Decoder> decoder_;
  std::shared_ptr<InstanceHead> instance_head_;
  std::shared_ptr<MaskHead> mask_head_;
};

}  // namespace tessera
