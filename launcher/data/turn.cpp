#include "launcher/data/turn.h"

#include <array>

namespace tessera::data {

cv::Mat Turn::apply(const cv::Mat& image) const {
  if (is_none()) return image;
  cv::Mat result = image;
  if (swap_sides) {
    cv::Mat swapped;
    cv::transpose(image, swapped);
    result = swapped;
  }
  if (!flip_horizontal && !flip_vertical) return result;
  // cv::flip: 0 about the x axis, 1 about the y axis, -1 about both.
  const int axes = flip_horizontal ? (flip_vertical ? -1 : 1) : 0;
  cv::Mat flipped;
  cv::flip(result, flipped, axes);
  return flipped;
}

std::optional<Turn> turn_of_exif(int orientation) {
  // EXIF 2.3, tag 274: where row 0 and column 0 of the stored pixels are in the scene.
  constexpr std::array<Turn, 8> kTurns{{
      {false, false, false},  // top, left
      {false, true, false},   // top, right
      {false, true, true},    // bottom, right
      {false, false, true},   // bottom, left
      {true, false, false},   // left, top
      {true, true, false},    // right, top
      {true, true, true},     // right, bottom
      {true, false, true},    // left, bottom
  }};
  if (orientation < 1 || orientation > static_cast<int>(kTurns.size())) return std::nullopt;
  return kTurns[static_cast<size_t>(orientation - 1)];
}

}  // namespace tessera::data
