#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "launcher/inference/explained_window.h"
#include "launcher/inference/window_features.h"

namespace tessera {

/// What the model said of windows of one length.
struct SeenWindows {
  std::vector<Window> windows;  // the clips of the batch
  int64_t model_frames = 0;     // T of these clips: more than a window's length if it was filled
  std::vector<StageOutput>
      stages;                // first to last; of a model with a whole-video stage, those before
  int64_t finest_cells = 1;  // of the backbone's finest level
  FrameGeometry geometry;
  // Only of a model with a whole-video stage, for its masks.
  FeaturePyramid pyramid;
  Memory memory;
};

/// Which window's attentions are watched, and by whom.
struct WatchedWindow {
  CrossAttentionRecorder* recorder = nullptr;
  size_t window = 0;  // of the windows of the call
};

/// Stages of a model that see the windows of one video, and what they keep from window to window.
class WindowRunner {
 public:
  /// All are used, not owned. One for each video: states are empty at first.
  WindowRunner(VisModel& model, const WindowFeatures& features, const ForwardContext& context);

  using Sink = std::function<void(const SeenWindows&)>;
  /// Runs windows of one length that follow those of the call before. `sink` gets them in order:
  /// all together, or one by one if the model keeps a state.
  void run(const data::InferenceVideo& video, std::span<const Window> windows,
           const FrameProgress& progress, const WatchedWindow& watched, const Sink& sink);

 private:
  ForwardContext watched_context(const WatchedWindow& watched, int64_t clip,
                                 size_t num_clips) const;
  void run_stages(FeaturePyramid pyramid, SeenWindows seen, const WatchedWindow& watched,
                  const Sink& sink);

  VisModel& model_;
  const WindowFeatures& features_;
  const ForwardContext& context_;
  size_t num_windowed_;             // stages that see windows
  size_t first_with_state_;         // num_windowed_ if there is none
  std::vector<VideoState> states_;  // of each stage
  FrameGeometry geometry_;          // of the windows before
};

/// The first stage that sees the whole video; the number of stages if there is none.
size_t first_whole_video_stage(const VisModel& model);
/// Whether a stage keeps a state.
bool keeps_state(const VisModel& model);

std::vector<const StageOutput*> pointers_to(const std::vector<StageOutput>& stages);

}  // namespace tessera
