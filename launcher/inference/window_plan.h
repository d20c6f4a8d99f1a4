#pragma once

#include <cstdint>
#include <vector>

#include "core/interfaces/linker.h"
#include "launcher/inference/inference_options.h"
#include "launcher/inference/windows.h"

namespace tessera {

/// How videos are cut into windows, and whether a linker can join them.
class WindowPlan {
 public:
  /// in: the frames of a clip that the model's queries are learnt for, 0 = any number. Throws
  /// ConfigError for a window that the model cannot take.
  WindowPlan(const InferenceOptions& options, int64_t fixed_frames, const Linker& linker);

  /// The windows of a video, in order of time; each shares at least `inference.overlap` frames with
  /// the one before. Throws ConfigError for several windows whose overlap leaves no step, or is
  /// less than the linker needs.
  std::vector<Window> of(int64_t num_frames) const;

 private:
  int64_t window_ = 0;  // 0 = the whole video
  int64_t overlap_ = 0, needed_overlap_ = 0;
};

}  // namespace tessera
