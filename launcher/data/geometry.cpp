#include "launcher/data/geometry.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>
#include <vector>

namespace tessera::data {
namespace {

int scaled(int64_t side, double scale) {
  return std::max(1, static_cast<int>(std::lround(static_cast<double>(side) * scale)));
}

/// For each of `to` cells, the one of `from` cells that its centre lies in.
std::vector<int> nearest_indices(int from, int to) {
  std::vector<int> indices(static_cast<size_t>(to));
  for (int i = 0; i < to; ++i) {
    // (i + 1/2) * from / to in whole numbers: exact, so that no rounding moves an edge.
    const int64_t index = (2 * static_cast<int64_t>(i) + 1) * from / (2 * static_cast<int64_t>(to));
    indices[static_cast<size_t>(i)] = static_cast<int>(index);
  }
  return indices;
}

}  // namespace

cv::Size resized_size(int64_t height, int64_t width, int64_t short_side, int64_t max_side) {
  const auto [shorter, longer] = std::minmax(height, width);
  double scale = static_cast<double>(short_side) / static_cast<double>(shorter);
  if (max_side > 0)
    scale = std::min(scale, static_cast<double>(max_side) / static_cast<double>(longer));
  return {scaled(width, scale), scaled(height, scale)};
}

cv::Mat resize_frame(const cv::Mat& frame, cv::Size size) {
  if (frame.size() == size) return frame;
  cv::Mat resized;
  cv::resize(frame, resized, size, 0, 0, cv::INTER_LINEAR);
  return resized;
}

cv::Mat resize_mask(const cv::Mat& mask, cv::Size size) {
  if (mask.size() == size) return mask;
  const std::vector<int> rows = nearest_indices(mask.rows, size.height);
  const std::vector<int> columns = nearest_indices(mask.cols, size.width);
  cv::Mat resized(size, CV_8UC1);
  for (int y = 0; y < size.height; ++y) {
    const uint8_t* from = mask.ptr<uint8_t>(rows[static_cast<size_t>(y)]);
    uint8_t* to = resized.ptr<uint8_t>(y);
    for (int x = 0; x < size.width; ++x) to[x] = from[columns[static_cast<size_t>(x)]];
  }
  return resized;
}

}  // namespace tessera::data
