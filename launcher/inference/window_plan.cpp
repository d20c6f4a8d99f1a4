#include "launcher/inference/window_plan.h"

#include <string>

#include "core/error.h"

namespace tessera {

WindowPlan::WindowPlan(const InferenceOptions& options, int64_t fixed_frames, const Linker& linker)
    : window_(options.window.frames),
      overlap_(options.overlap),
      needed_overlap_(linker.needed_overlap()) {
  if (fixed_frames > 0) {
    if (window_ != 0 && window_ != fixed_frames)
      throw ConfigError("inference.window: expected " + std::to_string(fixed_frames) +
                        " frames, which this model's queries are learnt for, or \"all\", got " +
                        std::to_string(window_) + ".");
    window_ = fixed_frames;
  }
}

std::vector<Window> WindowPlan::of(int64_t num_frames) const {
  if (window_ == 0 || num_frames <= window_) return {{0, num_frames}};
  if (overlap_ >= window_)
    throw ConfigError("inference.overlap: expected fewer than the window's " +
                      std::to_string(window_) + " frames, got " + std::to_string(overlap_) + ".");
  if (overlap_ < needed_overlap_)
    throw ConfigError("inference.overlap: expected at least " + std::to_string(needed_overlap_) +
                      " for a video of " + std::to_string(num_frames) + " frames in windows of " +
                      std::to_string(window_) +
                      ", whose tracks the linker compares on shared frames, got " +
                      std::to_string(overlap_) +
                      ". Set inference.overlap, or a linker that needs no shared frames.");
  return windows_of(num_frames, window_, overlap_);
}

}  // namespace tessera
