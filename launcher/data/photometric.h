#pragma once

#include <opencv2/core.hpp>

#include "core/interfaces/augmentation.h"

namespace tessera::data {

/// Clips the levels of a frame to 0..255. in: CV_32FC3.
void clip_levels(cv::Mat& frame);

/// in: CV_8UC3 or CV_32FC3, RGB in 0..255. out: CV_32FC3.
cv::Mat distort(const cv::Mat& frame, const ColourChange& change);

}  // namespace tessera::data
