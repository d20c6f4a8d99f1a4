#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "launcher/data/frame_source.h"
#include "launcher/data/rle.h"
#include "launcher/experiment.h"

namespace tessera {

/// One object through a whole video.
struct VideoTrack {
  int64_t category = 0;  // index into the data set's categories
  double score = 0.0;
  std::vector<std::optional<data::Rle>> segmentations;  // [frames of the video], none = absent
};

/// Runs a model over whole videos, window by window, and joins the windows' tracks.
class VideoInference {
 public:
  /// `model` is used, not owned, and put into evaluation mode. Throws ConfigError for windows that
  /// the model cannot take or an overlap that leaves no step.
  VideoInference(VisModel& model, const Experiment& experiment, at::Device device);

  /// Tracks with at least one pixel, best first. A video shorter than the model's fixed clip length
  /// is continued from its start, and the surplus is dropped.
  std::vector<VideoTrack> run(const data::InferenceVideo& video) const;

 private:
  /// A track while the video is read: what is known of it in each frame.
  struct Growing {
    std::vector<at::Tensor> probabilities;  // [K] for every frame that it was seen in
    std::vector<std::optional<data::Rle>> segmentations;
  };
  struct Window {
    int64_t start = 0, length = 0;  // length <= the model's clip: the rest is filling
  };

  std::vector<Window> windows_of(int64_t num_frames) const;
  std::vector<VideoTrack> finish(const std::vector<Growing>& tracks) const;

  VisModel& model_;
  const Experiment& experiment_;
  at::Device device_;
  int64_t window_ = 0;  // 0 = whole video
  std::shared_ptr<Linker> linker_;
};

}  // namespace tessera
