#include "launcher/data/convert/mask_shape.h"

#include <boost/archive/iterators/binary_from_base64.hpp>
#include <boost/archive/iterators/transform_width.hpp>
#include <cmath>
#include <exception>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/data/image_bytes.h"

namespace tessera::data {
namespace {

std::string decode_base64(std::string text) {
  namespace iterators = boost::archive::iterators;
  using Bytes =
      iterators::transform_width<iterators::binary_from_base64<std::string::const_iterator>, 8, 6>;
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  while (!text.empty() && text.back() == '=') text.pop_back();
  // Four characters hold three bytes; what is left of the last ones is padding.
  const size_t size = text.size() * 3 / 4;
  text.append(4 - text.size() % 4, 'A');
  try {
    std::string bytes;
    bytes.reserve(size);
    for (Bytes at(text.cbegin()); bytes.size() < size; ++at)
      bytes.push_back(static_cast<char>(*at));
    return bytes;
  } catch (const std::exception&) {
    throw DataError("'mask': expected base64, got other characters.");
  }
}

int64_t read_pixel(const Json& point, size_t axis) {
  if (as_list(point, "'points'").size() != 2)
    throw DataError("'points': expected x, y, got " + describe(point) + ".");
  const double value = as_finite_number(point[axis], "'points'");
  constexpr double kLargest = 1e6;
  if (std::abs(value) > kLargest)
    throw DataError("'points': expected pixels of the frame, got " + describe(point[axis]) + ".");
  return static_cast<int64_t>(value);
}

}  // namespace

Rle read_mask_shape(const Json& shape, int64_t height, int64_t width) {
  const Json& points = as_list(value_of(shape, "points"), "'points'");
  if (points.size() != 2)
    throw DataError("'points': expected two corners of the mask, got " + describe(points) + ".");
  const int64_t left = read_pixel(points[0], 0), top = read_pixel(points[0], 1);
  const int64_t right = read_pixel(points[1], 0), bottom = read_pixel(points[1], 1);
  std::string png = decode_base64(as_text(value_of(shape, "mask"), "'mask'"));
  check_image_bytes("'mask'", png);
  const cv::Mat mask = decode_image("'mask'", png, cv::IMREAD_GRAYSCALE);
  if (mask.cols != right - left + 1 || mask.rows != bottom - top + 1)
    throw DataError("'mask': expected " + std::to_string(right - left + 1) + "x" +
                    std::to_string(bottom - top + 1) + " pixels as its points state, got " +
                    std::to_string(mask.cols) + "x" + std::to_string(mask.rows) + ".");
  if (left < 0 || top < 0 || right >= width || bottom >= height)
    throw DataError("'points': expected a mask within the frame of " + std::to_string(width) + "x" +
                    std::to_string(height) + " pixels, got x " + std::to_string(left) + ".." +
                    std::to_string(right) + ", y " + std::to_string(top) + ".." +
                    std::to_string(bottom) + ".");
  std::vector<uint8_t> frame(static_cast<size_t>(height * width));
  for (int64_t y = top; y <= bottom; ++y)
    for (int64_t x = left; x <= right; ++x)
      frame[static_cast<size_t>(y * width + x)] =
          mask.at<uint8_t>(static_cast<int>(y - top), static_cast<int>(x - left)) != 0;
  return from_mask(frame, height, width);
}

}  // namespace tessera::data
