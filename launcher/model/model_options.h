#pragma once

#include <string>
#include <vector>

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

/// The name of a model's first stage, whose parts stand in `[model]` itself.
inline constexpr const char* kSegmenter = "segmenter";

/// One of `[[model.stages]]`: a decoder that reads what the stages before it found, and its heads.
struct StageOptions {
  std::string name;
  PluginOf<Decoder> decoder;
  PluginOf<InstanceHead> instance_head;
  PluginOf<MaskHead> mask_head;
  static void describe(Schema<StageOptions>& schema);
};

/// `[model]`: backbone, encoder and one or more stages.
struct ModelOptions {
  PluginOf<Backbone> backbone;
  PluginOf<Encoder> encoder;
  PluginOf<Decoder> decoder;
  PluginOf<InstanceHead> instance_head;
  PluginOf<MaskHead> mask_head;
  /// together: the encoder and the first stage see clips; apart: they see each frame as a clip of
  /// its own.
  std::string frames = "together";
  std::vector<StageOptions> stages;  // after the first
  std::vector<NameRule> names;
  static void describe(Schema<ModelOptions>& schema);

  bool frames_apart() const { return frames == "apart"; }
};

}  // namespace tessera
