#include "launcher/data/photometric.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <utility>

#include "launcher/data/pixel_loops.h"

namespace tessera::data {
namespace {

constexpr double kBrightnessDelta = 32;
constexpr double kLowestFactor = 0.5;
constexpr double kHighestFactor = 1.5;
constexpr double kHueDelta = 18;
constexpr double kChannelShuffleProbability = 0.5;
constexpr float kFullTurn = 360;

void clip_values(cv::Mat& frame) {
  cv::max(frame, 0.0, frame);
  cv::min(frame, 255.0, frame);
}

void change_hsv(cv::Mat& frame, const PhotometricDraw& draw) {
  if (draw.saturation == 1 && draw.hue == 0) return;
  cv::cvtColor(frame, frame, cv::COLOR_RGB2HSV);
  const auto saturation = static_cast<float>(draw.saturation);
  const auto hue = static_cast<float>(draw.hue);
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

PhotometricDraw draw_photometric(const AugmentStepOptions& step, Random& random) {
  PhotometricDraw draw;
  draw.wrap_overflow = step.wrap_overflow.value_or(false);
  if (random.happens(0.5)) draw.brightness = random.uniform(-kBrightnessDelta, kBrightnessDelta);
  draw.contrast_first = random.happens(0.5);
  if (random.happens(0.5)) draw.contrast = random.uniform(kLowestFactor, kHighestFactor);
  if (random.happens(0.5)) draw.saturation = random.uniform(kLowestFactor, kHighestFactor);
  if (random.happens(0.5)) draw.hue = random.uniform(-kHueDelta, kHueDelta);
  if (random.happens(step.shuffle_channels.value_or(kChannelShuffleProbability)))
    for (int i = 2; i > 0; --i)
      std::swap(draw.channels[static_cast<size_t>(i)],
                draw.channels[static_cast<size_t>(random.integer(0, i))]);
  return draw;
}

cv::Mat distort(const cv::Mat& frame, const PhotometricDraw& draw) {
  // Strips that stay in the cache between the passes: a frame is many times its size.
  constexpr int kRows = 16;
  const double factor = draw.contrast_first ? draw.contrast : 1.0;
  cv::Mat result(frame.size(), CV_32FC3);
  for (int top = 0; top < frame.rows; top += kRows) {
    const int bottom = std::min(top + kRows, frame.rows);
    cv::Mat strip;
    frame.rowRange(top, bottom).convertTo(strip, CV_32FC3, factor, factor * draw.brightness);
    // Negative values have no hue: left in, they come back from HSV as bright specks.
    if (!draw.wrap_overflow) clip_values(strip);
    change_hsv(strip, draw);
    if (!draw.contrast_first) strip *= draw.contrast;
    permute_channels(strip, draw.channels);
    if (draw.wrap_overflow) {
      wrap_levels(strip);
    } else {
      clip_values(strip);
    }
    strip.copyTo(result.rowRange(top, bottom));
  }
  return result;
}

}  // namespace tessera::data
