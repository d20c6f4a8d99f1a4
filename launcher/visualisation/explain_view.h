#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/inference/explained_window.h"

namespace tessera::visualisation {

/// How much one query looked where in one frame.
struct FrameView {
  double share = 0;   // of the query's attention that fell into this frame, 0..1; -1: a query
                      // of the frame, which looks nowhere else
  at::Tensor map;     // dense: [H,W] weights a pixel of the resized, unpadded frame; or undefined
  at::Tensor points;  // sampled: [N,3] (x, y, weight), x and y in pixels of that frame
  int64_t frame_width = 0;  // of that frame, pixels
};

/// The views of one query, a frame each. A query that belongs to a frame (its decoder has T x Q of
/// them) looks from `own_frame`.
/// in: query in 0..Q-1. out: [looked.num_frames]. Throws ShapeError where the recorded queries are
/// neither Q nor T x Q.
std::vector<FrameView> view_query(const ExplainedWindow& window, int64_t query, int64_t own_frame);

/// One track of the picture.
struct ExplainedTrack {
  std::string label;
  int64_t id = 0;                 // its colour
  std::vector<FrameView> views;   // of the frames shown
  std::vector<at::Tensor> masks;  // [H,W] bool of the frames shown at their own size, or undefined
};

/// One row for each track: the frames with the track's outline, over them where its query looked;
/// below each frame how much of the attention it got.
/// in: frames [H,W,3] uint8 RGB, frame numbers of the video. out: [H,W,3] uint8 RGB.
at::Tensor draw_explanation(const std::vector<at::Tensor>& frames,
                            const std::vector<int64_t>& numbers,
                            const std::vector<ExplainedTrack>& tracks, const std::string& title);

}  // namespace tessera::visualisation
