#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/interfaces/part.h"
#include "launcher/data/frame_source.h"
#include "launcher/data/rle.h"
#include "launcher/experiment.h"
#include "launcher/inference/explained_window.h"
#include "launcher/inference/mask_store.h"
#include "launcher/inference/mean_masks.h"
#include "launcher/inference/select_tracks.h"
#include "launcher/inference/track_scores.h"
#include "launcher/inference/window_plan.h"

namespace tessera {

/// The objects of a video. Their masks are on disk and read when asked for.
class VideoTracks {
 public:
  using Track = ScoredTrack;
  VideoTracks(std::vector<Track> tracks, std::shared_ptr<const MaskStore> masks,
              int64_t seen_frames, int64_t num_frames)
      : tracks_(std::move(tracks)),
        masks_(std::move(masks)),
        seen_frames_(seen_frames),
        num_frames_(num_frames) {}

  /// Those with at least one pixel, best first.
  const std::vector<Track>& tracks() const { return tracks_; }
  /// Entries of each track's list: the video's frames, or fewer with `[inference] fill = "none"`.
  int64_t num_frames() const { return num_frames_; }
  /// A track's mask in a frame of the list; none where the object is absent.
  std::optional<data::Rle> mask(const Track& track, int64_t frame) const;
  /// The whole list.
  std::vector<std::optional<data::Rle>> masks(const Track& track) const;

 private:
  std::vector<Track> tracks_;
  std::shared_ptr<const MaskStore> masks_;
  int64_t seen_frames_, num_frames_;
};

/// Told how many frames of a video are through the backbone.
using FrameProgress = std::function<void(int64_t frames)>;

/// Runs a model over whole videos, window by window, and joins the windows' tracks. With several
/// windows memory does not depend on the video's length.
class VideoInference {
 public:
  /// `model` is used, not owned, and put into evaluation mode; `experiment` must outlive this. The
  /// masks of the video at work lie in the folder `scratch`. Throws ConfigError for windows that
  /// the model cannot take.
  VideoInference(VisModel& model, const Experiment& experiment, at::Device device,
                 std::filesystem::path scratch = std::filesystem::temp_directory_path());

  /// A video shorter than the model's fixed clip length is continued from its start, and the
  /// surplus is dropped. `explained` names a window and is told where its queries looked; throws
  /// ConfigError where the model cannot tell.
  VideoTracks run(const data::InferenceVideo& video, const FrameProgress& progress = {},
                  ExplainedWindow* explained = nullptr) const;

  /// Throws ConfigError for the first of `videos` whose windows the linker cannot join: before
  /// hours of inference, not when that video is reached.
  void check_windows(const std::vector<data::InferenceVideo>& videos) const;

 private:
  struct Seen;

  /// Frames of the clip that the model makes of a window of `length` frames.
  int64_t model_frames_of(int64_t length) const;
  std::vector<Window> windows_of_video(const data::InferenceVideo& video) const;

  /// Of windows of one length, as the clips of a batch; of several only where their frames
  /// together are no more than go through the backbone at once.
  FeaturePyramid features(const data::InferenceVideo& video, std::span<const Window> windows,
                          FrameGeometry& geometry, const FrameProgress& progress) const;
  /// `context` must outlive what is returned: masks are lazy.
  std::vector<Seen> see(const data::InferenceVideo& video, std::span<const Window> windows,
                        bool is_linked, const FrameProgress& progress,
                        const ForwardContext& context) const;
  /// out: [T,R] double on the CPU, the best category's probability of each row in each frame.
  at::Tensor frame_scores(const Seen& seen) const;
  /// in: logits [R,1,h,w] of one frame. out: [R,H,W] uint8 on the CPU, at the video's size.
  at::Tensor thresholded(const at::Tensor& logits, const FrameGeometry& geometry) const;
  void add_to_means(const Seen& seen, const Window& window,
                    const std::vector<int64_t>& track_of_row, MeanMasks& means) const;
  void store_means(MeanMasks& means, int64_t end, const FrameGeometry& geometry,
                   MaskStore& store) const;
  void store_masks(const Seen& seen, const Window& window, int64_t first_frame,
                   const std::vector<int64_t>& rows, const std::vector<int64_t>& track_of_row,
                   MaskStore& store) const;

  VisModel& model_;
  const Experiment& experiment_;
  at::Device device_;
  at::ScalarType type_;  // of the model's weights
  std::filesystem::path scratch_;
  std::shared_ptr<const Linker> linker_;
  WindowPlan plan_;
  ForwardContext context_;  // lazy masks refer to it
};

}  // namespace tessera
