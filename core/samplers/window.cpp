#include "core/samplers/window.h"

namespace tessera::samplers {

std::vector<int64_t> window_from(int64_t first, int64_t count, int64_t stride, int64_t length) {
  std::vector<int64_t> frames;
  frames.reserve(static_cast<size_t>(count));
  for (int64_t t = 0; t < count; ++t)
    frames.push_back(((first + t * stride) % length + length) % length);
  return frames;
}

std::vector<int64_t> every_frame(int64_t length, int64_t step) {
  std::vector<int64_t> frames;
  for (int64_t frame = 0; frame < length; frame += step) frames.push_back(frame);
  return frames;
}

}  // namespace tessera::samplers
