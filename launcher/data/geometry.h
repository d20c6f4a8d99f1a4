#pragma once

#include <cstdint>
#include <opencv2/core.hpp>
#include <vector>

#include "launcher/data/rle.h"

namespace tessera::data {

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
