#pragma once

#include <cstdint>
#include <vector>

#include "launcher/inference/seen_rows.h"
#include "launcher/inference/window_runner.h"

namespace tessera {

/// Stages that see all frames of a video at once. What the stages before found is kept window by
/// window: embeddings on the device, features in the CPU's memory, where masks are made of them.
class WholeVideo {
 public:
  /// All are used, not owned. The first of these stages is first_whole_video_stage().
  WholeVideo(VisModel& model, const RowReader& reader, at::Device device,
             const ForwardContext& context);

  /// in: the next window, one at a time.
  void add(const SeenWindows& seen);
  /// Runs the stages. out: rows of the whole video; with `wants_masks` all their masks, computed.
  SeenRows run(bool wants_masks);
  /// What all stages found, over all frames.
  const std::vector<StageOutput>& stages() const { return stages_; }
  /// The windows, and the masks of the rows in one of them.
  size_t num_parts() const { return parts_.size(); }
  RowMasks masks(const SeenRows& rows, size_t part);

 private:
  struct Part {
    Window window;
    std::vector<StageOutput> stages;
    FeaturePyramid pyramid;  // on the CPU
    Memory memory;           // on the CPU
    int64_t finest_cells = 1;
    FrameGeometry geometry;
  };
  Window window() const;

  VisModel& model_;
  const RowReader& reader_;
  at::Device device_;
  const ForwardContext& context_;
  size_t first_stage_;
  std::vector<Part> parts_;
  std::vector<StageOutput> stages_;
};

}  // namespace tessera
