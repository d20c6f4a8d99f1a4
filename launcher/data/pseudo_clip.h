#pragma once

#include <cstdint>

#include "core/structures/random.h"
#include "launcher/data/clip_images.h"
#include "launcher/data/data_options.h"

namespace tessera::data {

/// Turns an image into a clip: the image and num_frames - 1 copies of it, in a drawn order. Each
/// copy is recoloured, then warped (perspective, rotation, shift), sometimes blurred, all by draws
/// of its own. What lies outside the image is black and belongs to no instance. If masks overlap in
/// a warped frame, the later mask has the pixel.
///
/// Source: datasets/coco2seq.py and image_to_seq_augmenter.py of SeqFormer's code, which MS-STS VIS
/// shares, with the operations of imgaug 0.4.0 on 8-bit levels.
/// Differs from imgaug: masks are moved once by the whole warp, not by each part of it with
/// rounding between; corners move inwards by less than half a side. in: clip of one frame, CV_8UC3,
/// masks [N][1]. out: the same with num_frames frames, masks [N][num_frames].
void make_pseudo_clip(ClipImages& clip, int64_t num_frames, const PseudoClipOptions& options,
                      Random& random);

}  // namespace tessera::data
