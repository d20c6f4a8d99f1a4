#include "launcher/visualisation/overlay.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string_view>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/data/image_mat.h"
#include "launcher/visualisation/text.h"

namespace tessera::visualisation {
namespace {

constexpr double kOpacity = 0.5;
constexpr double kGoldenRatio = 0.618033988749895;

std::string label_of(const OverlayInstance& instance) {
  std::string label = instance.category + " " + std::to_string(instance.track_id);
  if (instance.score) {
    char text[16];
    std::snprintf(text, sizeof(text), " %.2f", *instance.score);
    label += text;
  }
  return label;
}

cv::Vec3b colour_of(const OverlayInstance& instance) {
  const auto [r, g, b] = track_colour(instance.track_id);
  return {r, g, b};
}

/// Fills the mask, stronger along its edge. Returns the mask's bounds.
cv::Rect draw_mask(cv::Mat& image, const cv::Mat& mask, const cv::Vec3b& colour) {
  cv::Mat core;
  cv::erode(mask, core, cv::Mat::ones(3, 3, CV_8UC1));
  for (int y = 0; y < image.rows; ++y)
    for (int x = 0; x < image.cols; ++x) {
      if (mask.at<uint8_t>(y, x) == 0) continue;
      const double opacity = core.at<uint8_t>(y, x) == 0 ? 1.0 : kOpacity;
      auto& pixel = image.at<cv::Vec3b>(y, x);
      for (int c = 0; c < 3; ++c)
        pixel[c] = cv::saturate_cast<uint8_t>(pixel[c] * (1 - opacity) + colour[c] * opacity);
    }
  return cv::boundingRect(mask);
}

/// Writes black on the track's colour at the upper left of the bounds, moved into the picture.
void draw_label(cv::Mat& image, const std::string& label, const cv::Rect& bounds,
                const cv::Vec3b& colour) {
  const double scale = std::clamp(image.rows / 700.0, 0.3, 1.0);
  const Text text(label, scale);
  const cv::Size size = text.size();
  const int height = size.height + text.below();
  const int left = std::clamp(bounds.x, 0, std::max(0, image.cols - size.width));
  const int top = std::clamp(bounds.y - height, 0, std::max(0, image.rows - height));
  cv::rectangle(image, {left, top, size.width, height}, cv::Scalar(colour[0], colour[1], colour[2]),
                cv::FILLED);
  text.draw(image, {left, top + size.height}, cv::Scalar::all(0));
}

}  // namespace

std::array<uint8_t, 3> track_colour(int64_t track_id) {
  // Steps of the golden ratio never come near an earlier hue soon.
  const double position = static_cast<double>(track_id) * kGoldenRatio;
  const double hue = 6 * (position - std::floor(position));
  std::array<uint8_t, 3> colour{};
  for (size_t c = 0; c < 3; ++c) {
    // Red, green and blue are the same wave of the hue, a third of a turn apart.
    const double shifted = std::fmod(hue + 6 - 2 * static_cast<double>(c), 6.0);
    const double level = std::clamp(std::abs(shifted - 3) - 1, 0.0, 1.0);
    colour[c] = static_cast<uint8_t>(std::lround(60 + 195 * level));
  }
  return colour;
}

at::Tensor draw_overlay(const at::Tensor& frame, const std::vector<OverlayInstance>& instances) {
  data::use_single_opencv_thread();
  ShapeBinding sizes;
  expect_shape(frame, "[H,W,3]", "frame", sizes);
  at::Tensor result = frame.contiguous().clone();
  cv::Mat image = data::to_mat(result);
  struct Label {
    std::string text;
    cv::Rect bounds;
    cv::Vec3b colour;
  };
  std::vector<Label> labels;
  for (const OverlayInstance& instance : instances) {
    if (!instance.mask.defined()) continue;
    expect_shape(instance.mask, "[H,W]", "mask", sizes);
    at::Tensor mask = instance.mask.to(at::kCPU, at::kByte).contiguous();
    const cv::Mat shared(image.rows, image.cols, CV_8UC1, mask.data_ptr<uint8_t>());
    if (cv::countNonZero(shared) == 0) continue;
    const cv::Vec3b colour = colour_of(instance);
    labels.push_back({label_of(instance), draw_mask(image, shared, colour), colour});
  }
  // After all masks: no mask hides a label.
  for (const Label& label : labels) draw_label(image, label.text, label.bounds, label.colour);
  return result;
}

}  // namespace tessera::visualisation
