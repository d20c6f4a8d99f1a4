#pragma once

#include <cstdint>
#include <opencv2/core.hpp>
#include <vector>

#include "core/structures/clip.h"

namespace tessera::data {

/// Turns the masks of a clip into its ground truth.
///
/// Boxes are the bounds of the masks as they are after the transforms, edges at whole pixels: box
/// and mask agree whatever was cropped or rounded, and files without boxes need none.
/// Differs from VisTR's code, which transforms the stated boxes, so that a box covers what a crop
/// left, or nothing. An instance with fewer than `min_visible_pixels` in a frame is absent there:
/// not valid, no mask, a zero box. Differs from VisTR's code, where instances that a crop emptied
/// stay valid. Instances that are valid in no frame are left out.
///
/// in: masks [N][T] CV_8UC1, 0 or 1, of `size`, or empty; labels [N] category indices from 0.
/// out: masks at `size`, not padded.
ClipTargets make_targets(const std::vector<std::vector<cv::Mat>>& masks,
                         const std::vector<int64_t>& labels, int64_t num_frames, cv::Size size,
                         int64_t min_visible_pixels);

/// Pads the masks with false at the right and the bottom. in: [N,T,h,w]. out: [N,T,height,width].
void pad_masks(ClipTargets& targets, int64_t height, int64_t width);

}  // namespace tessera::data
