#pragma once

#include <cstdint>
#include <vector>

namespace tessera {

/// Frames of a video that the model sees at once.
struct Window {
  int64_t start = 0, length = 0;
};

/// Windows of `window` frames (0 = the whole video), neighbours sharing `overlap` of them. The last
/// one moves back to end with the video: it shares more. A video of fewer frames is one window.
/// Needs overlap < window.
std::vector<Window> windows_of(int64_t num_frames, int64_t window, int64_t overlap);

/// Windows that hold every frame once, in order; the last one is shorter. All are multiples of
/// `piece` frames, but for a last one of fewer than that.
std::vector<Window> windows_in_order(int64_t num_frames, int64_t window, int64_t piece);

}  // namespace tessera
