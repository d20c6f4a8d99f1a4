#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <opencv2/core.hpp>
#include <vector>

#include "launcher/data/frame_source.h"
#include "launcher/inference/video_options.h"

namespace tessera {

/// The frames of one window, read, resized and normalised part by part.
///
/// With `normalise.by = "clip"` the whole window is read first, and its resized frames are kept:
/// the statistics are those of the clip that the model sees, as in training, however many frames go
/// through the backbone at once.
class WindowFrames {
 public:
  struct Span {
    int64_t start = 0;         // of the video
    int64_t length = 0;        // frames of the window
    int64_t model_frames = 0;  // of the model's clip; more than length: it goes on from its start
  };
  /// `video` and `options` must outlive this. Throws DataError for frames that cannot be read.
  WindowFrames(const data::InferenceVideo& video, const Span& span, const VideoOptions& options);

  /// Frames first..first + count of the window. out: [count,3,h,w] float, not padded.
  at::Tensor read(int64_t first, int64_t count) const;

 private:
  cv::Mat resized(int64_t index) const;

  const data::InferenceVideo& video_;
  const VideoOptions& options_;
  Span span_;
  NormaliseOptions normalise_;  // numbers, never by = "clip"
  std::vector<cv::Mat> kept_;   // all of the window, or none
};

}  // namespace tessera
