#pragma once

#include <cstdint>

#include "core/structures/clip.h"

namespace tessera {

/// Of a clip before it is padded.
struct ClipSize {
  int64_t frames = 0, height = 0, width = 0;  // pixels
};

/// A clip that no data set is needed for. out: [1,T,3,H,W] N(0, 1), padded on the right and below
/// with zeros to a multiple of `size_divisor`. The same for the same size.
ClipBatch noise_clip(const ClipSize& size, int64_t size_divisor);

}  // namespace tessera
