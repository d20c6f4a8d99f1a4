#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/structures/clip.h"
#include "launcher/data/data_options.h"
#include "launcher/data/resizing.h"

namespace cv {
class Mat;
}

namespace tessera::data {

/// in: frame [H,W,3] uint8 RGB; short_side and max_side in pixels, see resized_size. out: the frame
/// resized, CV_8UC3 or CV_32FC3, of memory of its own. Throws ShapeError for another shape or type.
cv::Mat resize_to_sides(const at::Tensor& frame, int64_t short_side, int64_t max_side,
                        const Resizing& resizing);

/// Mean and deviation of each channel over all pixels of a clip, as parts of 255: the numbers that
/// `normalise.by = "clip"` stands for. A deviation is at least half a level, which clips of one
/// colour need.
/// in: the [T] frames of a clip, CV_8UC3 or CV_32FC3, RGB in 0..255.
NormaliseOptions clip_statistics(const std::vector<cv::Mat>& frames);

/// The one way from pixels to what a model sees, in training (after augmentation) and inference.
/// in: the [T] frames of a clip, CV_8UC3 or CV_32FC3 of one size, RGB in 0..255; with
/// `by = "clip"` all frames of the clip. out: [T,3,H,W] float, normalised. Throws ShapeError for no
/// frames.
at::Tensor normalised_frames(const std::vector<cv::Mat>& frames, const NormaliseOptions& normalise);

/// Joins clips into one batch, padded with zeros at the right and the bottom to the largest height
/// and width, rounded up to a multiple of `size_divisor`.
/// in: clips [T,3,h,w] float each, with their meta. out: padding_mask is true where padded.
/// Throws DataError naming both videos where the numbers of frames differ.
ClipBatch batch_frames(const std::vector<at::Tensor>& clips, std::vector<ClipMeta> meta,
                       int64_t size_divisor);

/// Sets ClipBatch::mean and deviation, unless each clip has numbers of its own (`by = "clip"`).
void set_colour_scale(ClipBatch& batch, const NormaliseOptions& normalise);

}  // namespace tessera::data
