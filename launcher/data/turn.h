#pragma once

#include <opencv2/core.hpp>
#include <optional>
#include <string>

namespace tessera::data {

/// One of the eight ways to lay out the same pixels: stored images and videos state how they are to
/// be shown. First rows and columns change places, then the sides are flipped.
struct Turn {
  bool swap_sides = false;
  bool flip_horizontal = false;
  bool flip_vertical = false;

  bool operator==(const Turn&) const = default;
  bool is_none() const { return *this == Turn{}; }
  /// The size of the image after the turn.
  cv::Size apply(cv::Size size) const {
    return swap_sides ? cv::Size(size.height, size.width) : size;
  }
  /// in: any type. out: the turned pixels; the same matrix where there is nothing to do.
  cv::Mat apply(const cv::Mat& image) const;
};

/// The turn that shows an image upright. in: `orientation`, EXIF tag 274, 1 to 8. out: nothing for
/// other numbers, which the standard reserves.
std::optional<Turn> turn_of_exif(int orientation);

}  // namespace tessera::data
