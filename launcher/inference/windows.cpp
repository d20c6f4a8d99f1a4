#include "launcher/inference/windows.h"

#include <algorithm>

namespace tessera {

std::vector<Window> windows_of(int64_t num_frames, int64_t window, int64_t overlap) {
  if (window == 0 || num_frames <= window) return {{0, num_frames}};
  std::vector<Window> windows;
  for (int64_t start = 0;; start += window - overlap) {
    windows.push_back({std::min(start, num_frames - window), window});
    if (start + window >= num_frames) return windows;
  }
}

std::vector<Window> windows_in_order(int64_t num_frames, int64_t window, int64_t piece) {
  std::vector<Window> windows;
  for (int64_t start = 0; start < num_frames;) {
    int64_t length = window == 0 ? num_frames - start : std::min(window, num_frames - start);
    if (length > piece) length -= length % piece;
    windows.push_back({start, length});
    start += length;
  }
  return windows;
}

}  // namespace tessera
