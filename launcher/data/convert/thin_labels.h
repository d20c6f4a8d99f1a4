#pragma once

#include <cstdint>
#include <map>
#include <opencv2/core.hpp>
#include <string>

#include "launcher/data/label_image.h"

namespace tessera::data {

/// Looks for labels that smooth edges make: a mask that was resized or drawn with smooth edges has,
/// between an object and what is beside it, thin regions of values between the two.
class ThinLabels {
 public:
  /// The label image of one more frame. in: place, for messages.
  void add(const LabelImage& image, const std::string& place);

  /// What is wrong, as a sentence without a next step; empty if the labels look like objects.
  std::string fault() const;

 private:
  struct Seen {
    int64_t pixels = 0;
    int64_t between = 0;  // pixels whose value is between those on two opposite sides
    cv::Rect bounds;      // in the first frame
    std::string place;    // of the first frame
  };
  std::map<int32_t, Seen> seen_;
};

}  // namespace tessera::data
