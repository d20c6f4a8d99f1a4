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

}  // namespace tessera
