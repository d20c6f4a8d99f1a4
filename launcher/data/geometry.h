#pragma once

#include <cstdint>
#include <opencv2/core.hpp>

namespace tessera::data {

/// The size of height x width scaled so that the shorter side is `short_side`, or less where the
/// longer one would exceed `max_side` (0 = no limit). Both sides are rounded to the nearest pixel.
/// Differs from DETR's code, which cuts off the fraction of the longer side.
cv::Size resized_size(int64_t height, int64_t width, int64_t short_side, int64_t max_side);

/// Bilinear, pixel centres at half (align_corners = false), no smoothing before shrinking.
/// in: any matrix of floats.
cv::Mat resize_frame(const cv::Mat& frame, cv::Size size);

/// Nearest by the same pixel centres: a mask stays on the pixels of its frame. OpenCV's and
/// torch's "nearest" are up to half a pixel off. in: CV_8UC1.
cv::Mat resize_mask(const cv::Mat& mask, cv::Size size);

}  // namespace tessera::data
