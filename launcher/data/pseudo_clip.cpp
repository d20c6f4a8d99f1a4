#include "launcher/data/pseudo_clip.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>
#include <utility>
#include <vector>

namespace tessera::data {
namespace {

constexpr double kScale = 255;
constexpr float kHueTurn = 360;
/// Corners that moved further inwards could cross.
constexpr double kFurthestCorner = 0.45;

/// Box and Muller's method; one of its two numbers is not used.
double normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
  return radius * std::cos(2 * std::numbers::pi * random.uniform());
}

/// Moves the corners of a view inwards, so that the view fills the frame afterwards.
cv::Matx33d draw_perspective(cv::Size size, double deviation, Random& random) {
  const auto right = static_cast<float>(size.width - 1);
  const auto bottom = static_cast<float>(size.height - 1);
  const std::array<cv::Point2f, 4> frame{
      cv::Point2f{0, 0}, {right, 0}, {right, bottom}, {0, bottom}};
  std::array<cv::Point2f, 4> view = frame;
  for (cv::Point2f& corner : view) {
    const auto inwards = [&](float side) {
      const double part = std::min(std::abs(normal(random)) * deviation, kFurthestCorner);
      return static_cast<float>(part) * side;
    };
    corner.x += (corner.x > 0 ? -1 : 1) * inwards(right);
    corner.y += (corner.y > 0 ? -1 : 1) * inwards(bottom);
  }
  return cv::Matx33d(cv::getPerspectiveTransform(view.data(), frame.data()));
}

cv::Matx33d draw_affine(cv::Size size, const PseudoClipOptions& options, Random& random) {
  const double angle = random.uniform(-options.rotate, options.rotate) * std::numbers::pi / 180;
  const double shift_x = random.uniform(-options.translate, options.translate) * size.width;
  const double shift_y = random.uniform(-options.translate, options.translate) * size.height;
  const double x = 0.5 * (size.width - 1);
  const double y = 0.5 * (size.height - 1);
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  return {c, -s, x - c * x + s * y + shift_x, s, c, y - s * x - c * y + shift_y, 0, 0, 1};
}

/// A line through the middle of size x size cells, its points shared among the cells around them.
cv::Mat line_kernel(int64_t size, double angle) {
  const auto side = static_cast<int>(size);
  cv::Mat kernel = cv::Mat::zeros(side, side, CV_32FC1);
  const double middle = 0.5 * (side - 1);
  for (int i = 0; i < side; ++i) {
    const double x = middle + (i - middle) * std::cos(angle);
    const double y = middle + (i - middle) * std::sin(angle);
    const int left = std::clamp(static_cast<int>(std::floor(x)), 0, side - 1);
    const int top = std::clamp(static_cast<int>(std::floor(y)), 0, side - 1);
    const int right = std::min(left + 1, side - 1);
    const int bottom = std::min(top + 1, side - 1);
    const auto fx = static_cast<float>(x - left);
    const auto fy = static_cast<float>(y - top);
    kernel.at<float>(top, left) += (1 - fx) * (1 - fy);
    kernel.at<float>(top, right) += fx * (1 - fy);
    kernel.at<float>(bottom, left) += (1 - fx) * fy;
    kernel.at<float>(bottom, right) += fx * fy;
  }
  return kernel / cv::sum(kernel)[0];
}

void clip_levels(cv::Mat& frame) {
  cv::max(frame, 0.0, frame);
  cv::min(frame, kScale, frame);
}

void shift_hue_and_saturation(cv::Mat& frame, double hue, double saturation) {
  cv::cvtColor(frame, frame, cv::COLOR_RGB2HSV);  // of floats: 0..360, 0..1, V as R, G, B
  const auto turn = static_cast<float>(hue / kScale) * kHueTurn;
  const auto more = static_cast<float>(saturation / kScale);
  frame.forEach<cv::Vec3f>([&](cv::Vec3f& pixel, const int*) {
    pixel[0] = std::fmod(pixel[0] + turn + kHueTurn, kHueTurn);
    pixel[1] = std::clamp(pixel[1] + more, 0.F, 1.F);
  });
  cv::cvtColor(frame, frame, cv::COLOR_HSV2RGB);
}

void recolour(cv::Mat& frame, const PseudoClipOptions& options, Random& random) {
  constexpr int kBrightness = 0, kHue = 1;  // 2: both
  const int64_t which = random.integer(0, 2);
  if (which != kHue)
    frame += cv::Scalar::all(random.uniform(-options.brightness, options.brightness));
  clip_levels(frame);
  if (which == kBrightness) return;
  const double hue = random.uniform(-options.hue_saturation, options.hue_saturation);
  const double saturation = random.uniform(-options.hue_saturation, options.hue_saturation);
  shift_hue_and_saturation(frame, hue, saturation);
  clip_levels(frame);
}

/// out: CV_16UC1, 0 = no instance, else 1 + the last one that has the pixel.
cv::Mat draw_owners(const ClipImages& clip) {
  cv::Mat owners = cv::Mat::zeros(clip.size(), CV_16UC1);
  for (size_t n = 0; n < clip.masks.size(); ++n)
    if (!clip.masks[n][0].empty())
      owners.setTo(cv::Scalar(static_cast<double>(n + 1)), clip.masks[n][0]);
  return owners;
}

}  // namespace

void make_pseudo_clip(ClipImages& clip, int64_t num_frames, const PseudoClipOptions& options,
                      Random& random) {
  const cv::Mat image = clip.frames.front();
  const cv::Mat owners = draw_owners(clip);
  const size_t num_instances = clip.masks.size();
  for (int64_t t = 1; t < num_frames; ++t) {
    const cv::Matx33d warp = draw_affine(image.size(), options, random) *
                             draw_perspective(image.size(), options.perspective, random);
    cv::Mat frame, moved;
    cv::warpPerspective(image, frame, warp, image.size(), cv::INTER_LINEAR);
    cv::warpPerspective(owners, moved, warp, image.size(), cv::INTER_NEAREST);
    if (random.happens(options.blur_probability)) {
      const auto last = static_cast<int64_t>(options.blur_sizes.size()) - 1;
      const auto choice = static_cast<size_t>(random.integer(0, last));
      const double angle = random.uniform(0, std::numbers::pi);
      cv::filter2D(frame, frame, -1, line_kernel(options.blur_sizes[choice], angle));
    }
    recolour(frame, options, random);
    clip.frames.push_back(frame);
    for (size_t n = 0; n < num_instances; ++n) {
      cv::Mat mask = moved == static_cast<double>(n + 1);
      clip.masks[n].push_back(mask & 1);
    }
  }
  if (!options.shuffle) return;
  for (int64_t i = num_frames - 1; i > 0; --i) {
    const auto a = static_cast<size_t>(i);
    const auto b = static_cast<size_t>(random.integer(0, i));
    std::swap(clip.frames[a], clip.frames[b]);
    for (auto& track : clip.masks) std::swap(track[a], track[b]);
  }
}

}  // namespace tessera::data
