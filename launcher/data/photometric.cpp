#include "launcher/data/photometric.h"

#include <array>
#include <opencv2/imgproc.hpp>

#include "launcher/data/pixel_loops.h"

namespace tessera::data {
namespace {

constexpr float kFullTurn = 360;

void change_hsv(cv::Mat& frame, const ColourChange& change) {
  if (change.saturation == 1 && change.hue == 0) return;
  cv::cvtColor(frame, frame, cv::COLOR_RGB2HSV);
  const auto saturation = static_cast<float>(change.saturation);
  const auto hue = static_cast<float>(change.hue);
  for (int y = 0; y < frame.rows; ++y) {
    auto* row = frame.ptr<cv::Vec3f>(y);
    for (int x = 0; x < frame.cols; ++x) {
      row[x][1] *= saturation;
      row[x][0] += hue;
      if (row[x][0] >= kFullTurn) row[x][0] -= kFullTurn;
      if (row[x][0] < 0) row[x][0] += kFullTurn;
    }
  }
  cv::cvtColor(frame, frame, cv::COLOR_HSV2RGB);
}

void permute_channels(cv::Mat& frame, const std::array<int, 3>& channels) {
  if (channels == std::array<int, 3>{0, 1, 2}) return;
  cv::Mat permuted(frame.size(), frame.type());
  const std::array<int, 6> pairs{channels[0], 0, channels[1], 1, channels[2], 2};
  cv::mixChannels(&frame, 1, &permuted, 1, pairs.data(), 3);
  frame = permuted;
}

}  // namespace

void clip_levels(cv::Mat& frame) {
  cv::max(frame, 0.0, frame);
  cv::min(frame, 255.0, frame);
}

cv::Mat distort(const cv::Mat& frame, const ColourChange& change) {
  // Strips that stay in the cache between the passes: a frame is many times its size.
  constexpr int kRows = 16;
  const double factor = change.contrast_first ? change.contrast : 1.0;
  cv::Mat result(frame.size(), CV_32FC3);
  for (int top = 0; top < frame.rows; top += kRows) {
    const int bottom = std::min(top + kRows, frame.rows);
    cv::Mat strip;
    frame.rowRange(top, bottom).convertTo(strip, CV_32FC3, factor, factor * change.brightness);
    // Negative values have no hue: left in, they come back from HSV as bright specks.
    if (!change.wrap_overflow) clip_levels(strip);
    change_hsv(strip, change);
    if (!change.contrast_first) strip *= change.contrast;
    permute_channels(strip, change.channels);
    if (change.wrap_overflow) {
      wrap_levels(strip);
    } else {
      clip_levels(strip);
    }
    strip.copyTo(result.rowRange(top, bottom));
  }
  return result;
}

}  // namespace tessera::data
