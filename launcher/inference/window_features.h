#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/interfaces/part.h"
#include "launcher/data/frame_source.h"
#include "launcher/inference/select_tracks.h"
#include "launcher/inference/video_options.h"
#include "launcher/inference/windows.h"
#include "launcher/model/vis_model.h"

namespace tessera {

/// Told how many frames of a video are through the backbone.
using FrameProgress = std::function<void(int64_t frames)>;

/// Frames of windows, read and run through the backbone some at a time.
class WindowFeatures {
 public:
  /// All are used, not owned.
  WindowFeatures(VisModel& model, const VideoOptions& options, at::Device device);

  struct Result {
    FeaturePyramid pyramid;  // [windows, T, ...]
    FrameGeometry geometry;
  };
  /// in: windows of one length, as the clips of a batch; of several only if their frames together
  /// are no more than go through the backbone at once. out: clips of model_frames() frames: those
  /// of a shorter window are continued from its start. Throws DataError naming the video if its
  /// frames differ in size.
  Result read(const data::InferenceVideo& video, std::span<const Window> windows,
              const ForwardContext& context, const FrameProgress& progress) const;

  /// Frames of the clip that the model makes of a window of `length` frames.
  int64_t model_frames(int64_t length) const;

 private:
  VisModel& model_;
  const VideoOptions& options_;
  at::Device device_;
  at::ScalarType type_;  // of the model's weights
};

/// Throws DataError naming the video if the two are not equal.
void expect_same_size(const data::InferenceVideo& video, const FrameGeometry& before,
                      const FrameGeometry& now);

}  // namespace tessera
