#pragma once

#include <opencv2/core.hpp>
#include <vector>

namespace tessera::data {

/// A clip whose masks are images, too.
struct ClipImages {
  std::vector<cv::Mat> frames;  // [T] CV_8UC3 or CV_32FC3, RGB in 0..255, all of one size
  std::vector<std::vector<cv::Mat>> masks;  // [N][T] CV_8UC1, 0 or 1; empty where absent

  cv::Size size() const { return frames.front().size(); }
};

}  // namespace tessera::data
