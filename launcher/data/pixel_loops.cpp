#include "launcher/data/pixel_loops.h"

#include <algorithm>
#include <vector>

namespace tessera::data {

namespace {

template <typename Level>
void write_planes_of(const cv::Mat& frame, const ChannelScale& scale, float* planes) {
  const int64_t width = frame.cols;
  const int64_t plane_size = frame.rows * width;
  for (int y = 0; y < frame.rows; ++y) {
    const Level* row = frame.ptr<Level>(y);
    float* red = planes + y * width;
    float* green = red + plane_size;
    float* blue = green + plane_size;
    for (int64_t x = 0; x < width; ++x) {
      red[x] = static_cast<float>(row[3 * x]) * scale.factor[0] + scale.offset[0];
      green[x] = static_cast<float>(row[3 * x + 1]) * scale.factor[1] + scale.offset[1];
      blue[x] = static_cast<float>(row[3 * x + 2]) * scale.factor[2] + scale.offset[2];
    }
  }
}

}  // namespace

void write_planes(const cv::Mat& frame, const ChannelScale& scale, float* planes) {
  if (frame.depth() == CV_8U)
    write_planes_of<uint8_t>(frame, scale, planes);
  else
    write_planes_of<float>(frame, scale, planes);
}

void wrap_levels(cv::Mat& frame) {
  for (int y = 0; y < frame.rows; ++y) {
    auto* row = frame.ptr<float>(y);
    for (int x = 0; x < 3 * frame.cols; ++x)
      row[x] = static_cast<float>(static_cast<uint8_t>(static_cast<int32_t>(row[x])));
  }
}

cv::Mat cut_to_bytes(const cv::Mat& frame) {
  cv::Mat result(frame.size(), CV_8UC3);
  for (int y = 0; y < frame.rows; ++y) {
    const auto* from = frame.ptr<float>(y);
    auto* to = result.ptr<uint8_t>(y);
    for (int x = 0; x < 3 * frame.cols; ++x)
      to[x] = static_cast<uint8_t>(static_cast<int32_t>(from[x]));
  }
  return result;
}

std::optional<PixelBounds> foreground_bounds(const cv::Mat& mask, int64_t min_pixels) {
  PixelBounds bounds{0, mask.rows, mask.cols, 0};
  int64_t count = 0;
  std::vector<uint8_t> in_column(static_cast<size_t>(mask.cols), 0);
  for (int y = 0; y < mask.rows; ++y) {
    const uint8_t* row = mask.ptr<uint8_t>(y);
    uint8_t* seen = in_column.data();
    int in_row = 0;
    for (int x = 0; x < mask.cols; ++x) {
      in_row += row[x];
      seen[x] |= row[x];
    }
    if (in_row == 0) continue;
    count += in_row;
    bounds.top = std::min(bounds.top, y);
    bounds.bottom = y + 1;
  }
  if (count < std::max<int64_t>(1, min_pixels)) return std::nullopt;
  while (in_column[static_cast<size_t>(bounds.left)] == 0) ++bounds.left;
  while (in_column[static_cast<size_t>(bounds.right) - 1] == 0) --bounds.right;
  return bounds;
}

}  // namespace tessera::data
