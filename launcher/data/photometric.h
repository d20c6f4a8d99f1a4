#pragma once

#include <array>
#include <opencv2/core.hpp>

#include "launcher/data/data_options.h"
#include "launcher/data/random.h"

namespace tessera::data {

/// One draw of SSD's photometric distortion (Liu et al. 2016, section 2.2 and their code), with the
/// ranges that DETR-style video recipes use. Neutral by default.
struct PhotometricDraw {
  double brightness = 0;       // added, levels of 0..255
  double contrast = 1;         // factor
  bool contrast_first = true;  // before saturation and hue, or after them
  double saturation = 1;       // factor
  double hue = 0;              // added, degrees
  std::array<int, 3> channels{0, 1, 2};
  bool wrap_overflow = false;
};

PhotometricDraw draw_photometric(const AugmentStepOptions& step, Random& random);

/// in: CV_8UC3 or CV_32FC3, RGB in 0..255. out: CV_32FC3.
cv::Mat distort(const cv::Mat& frame, const PhotometricDraw& draw);

}  // namespace tessera::data
