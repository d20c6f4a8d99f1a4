#include "launcher/inference/window_plan.h"

#include <string>

#include "core/error.h"

namespace tessera {

WindowPlan::WindowPlan(const InferenceOptions& options, const WindowNeeds& needs,
                       const Tracker& tracker)
    : window_(options.window.frames),
      overlap_(options.overlap),
      needed_overlap_(tracker.needed_overlap()),
      needs_(needs) {
  if (needs.fixed_frames > 0) {
    if (window_ != 0 && window_ != needs.fixed_frames)
      throw ConfigError("inference.window: expected " + std::to_string(needs.fixed_frames) +
                        " frames, which this model's queries are learnt for, or \"all\", got " +
                        std::to_string(window_) + ".");
    window_ = needs.fixed_frames;
  }
  if (needs.in_order) check_order();
}

void WindowPlan::check_order() const {
  if (overlap_ > 0)
    throw ConfigError(
        "inference.overlap: expected 0, because a stage of this model keeps a state, "
        "sees the whole video, or predicts pieces of a window, and must see every "
        "frame once, got " +
        std::to_string(overlap_) + ".");
  if (needs_.fixed_frames > 0)
    throw ConfigError(
        "model: expected parts for clips of any length beside a stage that keeps a "
        "state, sees the whole video, or predicts pieces of a window, because the "
        "last window of a video is shorter, got parts for " +
        std::to_string(needs_.fixed_frames) +
        " frames. Set frames = \"apart\", or queries for clips of any length.");
  if (window_ > needs_.piece_frames && window_ % needs_.piece_frames != 0)
    throw ConfigError(
        "inference.window: expected a multiple of " + std::to_string(needs_.piece_frames) +
        " frames, which the model predicts together, got " + std::to_string(window_) + ".");
}

void WindowPlan::check_overlap(int64_t num_frames, int64_t part) const {
  if (overlap_ >= needed_overlap_) return;
  throw ConfigError("inference.overlap: expected at least " + std::to_string(needed_overlap_) +
                    " for a video of " + std::to_string(num_frames) + " frames in windows of " +
                    std::to_string(part) +
                    ", whose tracks the tracker compares on shared frames, got " +
                    std::to_string(overlap_) +
                    ". Set inference.overlap, or a linker or tracker that needs no shared frames.");
}

std::vector<Window> WindowPlan::of(int64_t num_frames) const {
  if (needs_.in_order) {
    const int64_t part = needs_.predicted_frames > 0 ? needs_.predicted_frames : window_;
    if (!needs_.predicts_video && part > 0 && num_frames > part) check_overlap(num_frames, part);
    return windows_in_order(num_frames, window_, needs_.piece_frames);
  }
  if (window_ == 0 || num_frames <= window_) return {{0, num_frames}};
  if (overlap_ >= window_)
    throw ConfigError("inference.overlap: expected fewer than the window's " +
                      std::to_string(window_) + " frames, got " + std::to_string(overlap_) + ".");
  check_overlap(num_frames, window_);
  return windows_of(num_frames, window_, overlap_);
}

}  // namespace tessera
