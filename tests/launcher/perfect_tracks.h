#pragma once
// What a model without fault would give for the windows of a video: the ground truth, cut.

#include <ATen/ATen.h>

#include <vector>

#include "launcher/inference/window_plan.h"

namespace tessera::test_support {

/// Objects of the made-up video; the row after them is a query without an object.
constexpr int64_t kObjects = 3;

/// The tracks of `window` in an order that differs from window to window: row r is object
/// (r + shift) mod 4, where 3 is no object. Objects move to the right, each in rows of pixels of
/// its own; object 2 is out of sight in every third frame.
inline WindowTracks perfect_tracks(const Window& window, int64_t shift) {
  constexpr int64_t kRows = kObjects + 1, kHeight = 12, kWidth = 48;
  WindowTracks tracks;
  tracks.first_frame = window.start;
  tracks.embeddings = at::zeros({kRows, kRows});
  tracks.class_probabilities = at::full({kRows, 2}, 0.1);
  tracks.mask_logits = at::full({kRows, window.length, kHeight, kWidth}, -5.0);
  for (int64_t row = 0; row < kRows; ++row) {
    const int64_t object = (row + shift) % kRows;
    tracks.embeddings[row][object] = 1.0;
    if (object == kObjects) continue;
    for (int64_t t = 0; t < window.length; ++t) {
      const int64_t frame = window.start + t;
      if (object == 2 && frame % 3 == 0) continue;
      tracks.mask_logits[row][t].narrow(0, 4 * object, 3).narrow(1, frame, 6).fill_(5.0);
    }
  }
  return tracks;
}

/// The row of `object` in perfect_tracks(window, shift).
inline int64_t row_of(int64_t object, int64_t shift) {
  constexpr int64_t kRows = kObjects + 1;
  return ((object - shift) % kRows + kRows) % kRows;
}

}  // namespace tessera::test_support
