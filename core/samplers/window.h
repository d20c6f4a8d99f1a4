#pragma once

#include <cstdint>
#include <vector>

namespace tessera::samplers {

/// first, first + stride, ..., `count` of them; positions beyond an end of the video come from its
/// other end.
std::vector<int64_t> window_from(int64_t first, int64_t count, int64_t stride, int64_t length);

/// From the first frame of a window of `count` frames to its last one.
inline int64_t distance_to_last(int64_t count, int64_t stride) {
  return (count - 1) * stride;
}

/// Every `step`-th frame of a video.
std::vector<int64_t> every_frame(int64_t length, int64_t step);

}  // namespace tessera::samplers
