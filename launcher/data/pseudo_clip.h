#pragma once

#include <cstdint>

#include "launcher/data/augmentation.h"
#include "launcher/data/data_options.h"
#include "launcher/data/random.h"

namespace tessera::data {

/// Turns an image into a clip: the image and num_frames - 1 copies of it, each warped (perspective,
/// rotation, shift) and recoloured on its own, sometimes blurred, in a drawn order.
/// Where masks overlap in a warped frame, the later one has the pixel. What lies outside the image
/// is black and of no instance.
/// in: clip of one frame, masks [N][1]. out: the same with num_frames frames, masks
/// [N][num_frames].
void make_pseudo_clip(ClipImages& clip, int64_t num_frames, const PseudoClipOptions& options,
                      Random& random);

}  // namespace tessera::data
