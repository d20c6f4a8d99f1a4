#pragma once

#include <cstdint>
#include <opencv2/core.hpp>
#include <vector>

#include "launcher/data/rle.h"

namespace tessera::data {

/// The size of height x width scaled so that the shorter side is `short_side`, or less where the
/// longer one would exceed `max_side` (0 = no limit). Both sides are rounded to the nearest pixel.
/// Differs from DETR's code, which cuts off the fraction of the longer side.
cv::Size resized_size(int64_t height, int64_t width, int64_t short_side, int64_t max_side);

/// How many times (1, 2, 4 or 8) an image can be made smaller before `to` is larger than what is
/// left of `from`.
int block_reduction(cv::Size from, cv::Size to);

/// in: any matrix of bytes or floats. out: of floats with the same values; shares floats' memory.
cv::Mat with_float_levels(const cv::Mat& frame);

/// Bilinear, pixel centres at half (align_corners = false); an image of at least twice the size is
/// first reduced by block_reduction to the means of its blocks, so that no pixel is passed over.
/// JPEG files come out of their decoder reduced like this, and all others are treated alike.
/// in: any matrix of bytes or floats. out: floats, but the matrix itself where it has that size.
cv::Mat resize_frame(const cv::Mat& frame, cv::Size size);

/// For each of `to` pixels, the one of `from` pixels that its centre lies in: "nearest" by the same
/// pixel centres, so that a mask stays on the pixels of its frame. OpenCV's and torch's are up to
/// half a pixel off.
std::vector<int> nearest_indices(int from, int to);

/// The pixels of a mask at the given rows and columns. in: CV_8UC1.
cv::Mat take_pixels(const cv::Mat& mask, const std::vector<int>& rows,
                    const std::vector<int>& columns);

/// The same for a mask in runs, of which only the runs are looked at. rows and columns: ascending
/// or descending. out: CV_8UC1, 0 or 1.
cv::Mat take_pixels(const Rle& mask, const std::vector<int>& rows, const std::vector<int>& columns);

}  // namespace tessera::data
