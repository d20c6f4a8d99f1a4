#pragma once
// What a bench needs beside noise_clip(): targets that move over it, and a video.

#include <cstdint>

#include "core/structures/clip.h"
#include "launcher/data/frame_source.h"
#include "launcher/model/noise_clip.h"

namespace tessera::bench {

/// Rectangles of a sixth of the frame's area that move, in every frame of the clip; masks at its
/// padded size. in: their number; labels are below num_categories.
Targets make_targets(const ClipBatch& batch, int64_t num_instances, int64_t num_categories);

/// Noise as a video of uint8 frames.
data::InferenceVideo make_video(const ClipSize& size);

}  // namespace tessera::bench
