#pragma once
// Clips that no data set is needed for: noise, and rectangles that move over it.

#include <cstdint>

#include "core/structures/clip.h"
#include "launcher/data/frame_source.h"

namespace tessera::bench {

struct ClipSize {
  int64_t frames = 0, height = 0, width = 0;
};

/// out: [1,T,3,H,W] N(0, 1), padded on the right and below to a multiple of `size_divisor`; nothing
/// else is padding. The same for the same size.
ClipBatch make_clip(const ClipSize& size, int64_t size_divisor);

/// Rectangles of a sixth of the frame's area that move, in every frame of the clip; masks at its
/// padded size. in: their number; labels are below num_categories.
Targets make_targets(const ClipBatch& batch, int64_t num_instances, int64_t num_categories);

/// The same noise as a video of uint8 frames.
data::InferenceVideo make_video(const ClipSize& size);

}  // namespace tessera::bench
