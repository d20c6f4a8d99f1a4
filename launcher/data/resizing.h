#pragma once

#include <cstdint>
#include <opencv2/core.hpp>

#include "launcher/data/data_options.h"

namespace tessera::data {

/// How frames are resized, in training and in inference; `data.resize` and `data.resize_rounding`.
struct Resizing {
  bool antialiased = false;  // else fast
  bool rounds_down = false;  // else to the nearest pixel
};

Resizing resizing_of(const DataOptions& options);

/// The size of height x width scaled so that the shorter side is `short_side`, or less if the
/// longer one would exceed `max_side` (0 = no limit). At least one pixel a side. rounds_down: the
/// rule of DETR and torchvision. If the limit applies, the shorter side is rounded to the nearest
/// pixel first; the fraction of the longer side is cut off. Otherwise the rule of detectron2: both
/// sides are scaled together and rounded to the nearest pixel. Throws RuntimeError unless
/// short_side >= 1.
cv::Size resized_size(int64_t height, int64_t width, int64_t short_side, int64_t max_side,
                      const Resizing& resizing = {});

/// How many times (1, 2, 4 or 8) an image can be made smaller before `to` is larger than what is
/// left of `from`.
int block_reduction(cv::Size from, cv::Size to);

/// in: any matrix of bytes or floats. out: of floats with the same values; shares floats' memory.
cv::Mat with_float_levels(const cv::Mat& frame);

/// in: CV_8UC3 or CV_32FC3; CV_8UC3 if antialiased. out: a frame of `size`, or the matrix itself if
/// it has that size already.
///
/// antialiased: see resize_antialiased. Otherwise bilinear, pixel centres at half (align_corners =
/// false), out as floats; an image of at least twice the size is first reduced by block_reduction
/// to the means of its blocks, so that no pixel is passed over. JPEG files come out of their
/// decoder reduced in the same way, and all others are treated alike.
cv::Mat resize_frame(const cv::Mat& frame, cv::Size size, const Resizing& resizing = {});

}  // namespace tessera::data
