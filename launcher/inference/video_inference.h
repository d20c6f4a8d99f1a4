#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "core/interfaces/tracker.h"
#include "launcher/data/frame_source.h"
#include "launcher/inference/explained_window.h"
#include "launcher/inference/seen_rows.h"
#include "launcher/inference/video_options.h"
#include "launcher/inference/video_tracks.h"
#include "launcher/inference/window_features.h"
#include "launcher/inference/window_plan.h"

namespace tessera {

class TrackJoiner;

/// Runs a model over whole videos, window by window, and joins the windows' tracks. With several
/// windows memory does not depend on the video's length, unless a stage sees the whole video.
class VideoInference {
 public:
  /// `model` is used, not owned, and put into evaluation mode. The masks of the video at work lie
  /// in the folder `scratch`. Throws ConfigError for windows that the model cannot take, a stage
  /// that the model does not have, and parts that cannot work on some frames at a time.
  VideoInference(VisModel& model, VideoOptions options, at::Device device,
                 std::filesystem::path scratch = std::filesystem::temp_directory_path());
  // Its members refer to its options.
  VideoInference(const VideoInference&) = delete;
  VideoInference& operator=(const VideoInference&) = delete;

  /// A video shorter than the model's fixed clip length is continued from its start, and the
  /// surplus is dropped. `explained` names a window and is told where its queries looked; throws
  /// ConfigError where the model cannot tell.
  VideoTracks run(const data::InferenceVideo& video, const FrameProgress& progress = {},
                  ExplainedWindow* explained = nullptr) const;

  /// Throws ConfigError for the first of `videos` whose windows the tracker cannot join: before
  /// hours of inference, not when that video is reached.
  void check_windows(const std::vector<data::InferenceVideo>& videos) const;

 private:
  std::shared_ptr<const Tracker> make_tracker() const;
  std::vector<Window> windows_of_video(const data::InferenceVideo& video) const;
  /// Whether one prediction holds the whole video.
  bool is_single(const std::vector<Window>& windows) const;
  void join_windows(const data::InferenceVideo& video, const std::vector<Window>& windows,
                    const FrameProgress& progress, ExplainedWindow* explained,
                    TrackJoiner& joiner) const;

  VisModel& model_;
  VideoOptions options_;
  at::Device device_;
  std::filesystem::path scratch_;
  std::shared_ptr<const Tracker> tracker_;
  WindowFeatures features_;
  RowReader reader_;
  WindowPlan plan_;
  ForwardContext context_;
};

}  // namespace tessera
