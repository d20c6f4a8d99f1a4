#pragma once

#include <cstdint>
#include <vector>

#include "core/interfaces/tracker.h"
#include "launcher/inference/inference_options.h"
#include "launcher/inference/windows.h"

namespace tessera {

/// What a model asks of the windows of a video.
struct WindowNeeds {
  int64_t fixed_frames = 0;  // frames of a clip that the queries are learnt for; 0: any number
  /// Whether no frame may be seen twice: a stage keeps a state, sees the whole video, or predicts
  /// pieces of a window.
  bool in_order = false;
  int64_t piece_frames = 1;      // a window is a multiple of it, or shorter
  int64_t predicted_frames = 0;  // of one prediction; 0: those of a window
  bool predicts_video = false;   // the last stage gives one prediction for the whole video
};

/// How videos are cut into windows, and whether a tracker can join them.
class WindowPlan {
 public:
  /// Throws ConfigError for a window that the model cannot take.
  WindowPlan(const InferenceOptions& options, const WindowNeeds& needs, const Tracker& tracker);

  /// The windows of a video, in order of time. Each shares at least `inference.overlap` frames with
  /// the one before; in order none does, and the last one is shorter. Throws ConfigError for
  /// several windows whose overlap leaves no step, or is less than the tracker needs.
  std::vector<Window> of(int64_t num_frames) const;

 private:
  void check_order() const;
  void check_overlap(int64_t num_frames, int64_t part) const;

  int64_t window_ = 0;  // 0 = the whole video
  int64_t overlap_ = 0, needed_overlap_ = 0;
  WindowNeeds needs_;
};

}  // namespace tessera
