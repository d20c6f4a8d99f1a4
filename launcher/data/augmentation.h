#pragma once

#include <opencv2/core.hpp>
#include <vector>

#include "launcher/data/data_options.h"
#include "launcher/data/random.h"

namespace tessera::data {

/// A clip while it is being transformed.
struct ClipImages {
  std::vector<cv::Mat> frames;              // [T] CV_32FC3, RGB in 0..255, all of one size
  std::vector<std::vector<cv::Mat>> masks;  // [N][T] CV_8UC1, 0 or 1; empty where absent

  cv::Size size() const { return frames.front().size(); }
};

/// Does the steps of `[data.augment]` in order, then its last resize. Frames and masks of the clip
/// go through the same geometry; an empty mask stays empty.
void augment(ClipImages& clip, const AugmentOptions& options, Random& random);

}  // namespace tessera::data
