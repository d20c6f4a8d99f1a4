#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/structures/clip.h"
#include "launcher/data/data_options.h"

namespace cv {
class Mat;
}

namespace tessera::data {

/// The one way from pixels to what a model sees, for training (after augmentation) and inference:
/// resizes (see geometry.h) and normalises.
/// in: frames [T,H,W,3] uint8 RGB; short_side and max_side in pixels, 0 = keep the size / no limit.
/// out: [T,3,h,w] float. Throws ShapeError for another shape or type.
at::Tensor prepare_frames(const at::Tensor& frames, int64_t short_side, int64_t max_side,
                          const NormaliseOptions& normalise);

/// in: the [T] frames of a clip, CV_8UC3 or CV_32FC3 of one size, RGB in 0..255. out: [T,3,H,W]
/// float, normalised.
at::Tensor normalised_frames(const std::vector<cv::Mat>& frames, const NormaliseOptions& normalise);

/// Joins clips into one batch, padded with zeros at the right and the bottom to the largest height
/// and width, rounded up to a multiple of `size_divisor`.
/// in: clips [T,3,h,w] float each, with their meta. out: padding_mask is true where padded.
/// Throws DataError naming both videos where the numbers of frames differ.
ClipBatch batch_frames(const std::vector<at::Tensor>& clips, std::vector<ClipMeta> meta,
                       int64_t size_divisor);

}  // namespace tessera::data
