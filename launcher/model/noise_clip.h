#pragma once

#include <cstdint>

#include "core/structures/clip.h"

namespace tessera {

/// Of a clip before it is padded.
struct ClipSize {
  int64_t frames = 0, height = 0, width = 0;  // pixels
};

/// Clips that no data set is needed for. out: [B,T,3,H,W] N(0, 1), B = `clips`, padded on the right
/// and below with zeros to a multiple of `size_divisor`. The same for the same size.
ClipBatch noise_clip(const ClipSize& size, int64_t size_divisor, int64_t clips = 1);

/// Rectangles of a sixth of the frame's area that move, in every frame of every clip; masks at its
/// padded size. in: their number in a clip; labels are below num_categories.
Targets moving_targets(const ClipBatch& batch, int64_t num_instances, int64_t num_categories);

}  // namespace tessera
