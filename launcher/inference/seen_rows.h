#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/interfaces/tracker.h"
#include "launcher/inference/select_tracks.h"
#include "launcher/inference/video_options.h"
#include "launcher/inference/window_runner.h"

namespace tessera {

/// Where the masks of rows come from, in some frames of a video.
struct RowMasks {
  Window window;
  std::shared_ptr<const MaskSource> source;
  int64_t clip = 0;    // of `source`
  at::Tensor queries;  // [R] int64, the query of each row
  at::Tensor logits;   // [R,T,h,w] where they are computed already
  int64_t finest_cells = 1;
  FrameGeometry geometry;

  /// in: index [R'] int64 of rows. out: [R',T',h,w], T' at least the window's frames.
  at::Tensor logits_of(const at::Tensor& index) const;
};

/// What the model said of frames that it predicts together: a window, or a piece of it. Rows are
/// the queries that [inference] keep leaves.
struct SeenRows {
  Window window;
  ClassLogits classes;              // [1,T,R,C] of the last stage
  std::vector<ClassLogits> scores;  // [1,T,R,C] for each of inference.scores
  int64_t num_queries = 0;
  TrackerInput tracker;  // without overlap
  RowMasks masks;

  /// What tracks are scored by: inference.scores, or the last stage.
  std::vector<ClassLogits> scored() const;
};

/// Frames first..first + count of classes [1,T,Q,C].
ClassLogits some_frames(ClassLogits classes, int64_t first, int64_t count);

/// Turns what the model said into rows.
class RowReader {
 public:
  /// Both outlive it. Throws ConfigError if inference.scores name a stage that the model lacks.
  RowReader(const VisModel& model, const VideoOptions& options);

  /// The pieces of one of the windows, in order. With `wants_masks` the masks of all rows are
  /// computed.
  std::vector<SeenRows> read(const SeenWindows& seen, size_t window, bool wants_masks) const;
  /// The same for stages that saw all frames of `window` as one clip, without masks.
  SeenRows read_whole(const std::vector<StageOutput>& stages, const Window& window) const;
  /// The frames of each prediction of the last stage; 0: those of a window.
  int64_t piece_frames() const { return piece_frames_; }

 private:
  struct Classes {
    ClassLogits last;
    std::vector<ClassLogits> scores;
  };
  Classes classes_of(const std::vector<StageOutput>& stages, int64_t clip,
                     int64_t num_frames) const;
  SeenRows rows_of(const StageOutput& last, const Classes& classes, int64_t clip,
                   const Window& window, int64_t first) const;

  const VideoOptions& options_;
  std::vector<size_t> scored_stages_;  // of each of inference.scores
  int64_t piece_frames_;
};

}  // namespace tessera
