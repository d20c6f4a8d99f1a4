#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/config/schema.h"
#include "core/interfaces/linker.h"
#include "core/interfaces/tracker.h"

namespace tessera {

/// A number of frames, or "all" (0) of a video's.
struct FrameCount {
  int64_t frames = 0;

  bool is_all() const { return frames == 0; }
  std::string text() const { return is_all() ? "all" : std::to_string(frames); }
};

template <>
struct config_detail::FieldType<FrameCount> : config_detail::PlainField {
  static std::string name() { return "integer or \"all\""; }
  static void read(FrameCount& out, const ConfigNode& node, const std::string& path,
                   ReadContext& context) {
    if (auto* text = std::get_if<std::string>(&node.value); text && *text == "all") {
      out.frames = 0;
    } else if (!read_scalar(node, out.frames) || out.frames < 1) {
      expected(node, path, "a number of frames >= 1, or \"all\"", context);
    }
  }
  static void read_absent(FrameCount&, const std::string&, ReadContext&) {}
  static std::optional<ConfigNode> write(const FrameCount& value) {
    if (value.is_all()) return ConfigNode(ConfigNode::Value(std::string("all")));
    return ConfigNode(ConfigNode::Value(value.frames));
  }
};

/// One of `[[inference.scores]]`: a stage of the model whose classes count for the tracks' scores.
struct StageScore {
  std::string stage;
  std::string average = "probabilities";
  static void describe(Schema<StageScore>& schema);
};

/// `[inference]`.
struct InferenceOptions {
  FrameCount frames;
  std::string fill = "repeat";
  FrameCount window;
  int64_t overlap = 0;
  int64_t backbone_frames = 8;
  PluginOf<Tracker> tracker{"linked"};
  PluginOf<Linker> linker{"mask_iou"};  // of the tracker `linked`; without a name beside another
  std::string merge = "first";
  std::string keep = "all";
  std::string select = "slot";
  int64_t top_k = 10;
  double score_threshold = 0.01;
  std::string average = "probabilities";
  std::vector<StageScore> scores{};
  std::string combine = "last";
  std::string mask_quality = "none";
  int64_t short_side = 300;
  int64_t max_side = 540;
  double mask_threshold = 0.5;
  double frame_score_threshold = 0.001;
  std::string autocast = "none";

  static void describe(Schema<InferenceOptions>& schema);
  /// Takes the default linker out if the tracker reads none. Throws ConfigError for a linker that
  /// the file gives beside such a tracker.
  void expect_one_joiner();
};

}  // namespace tessera
