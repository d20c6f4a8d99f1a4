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
constexpr int kHueTurn = 180;  // OpenCV's hue of 8 bits, 2 degrees a step
/// Corners that moved further inwards could cross.
constexpr double kFurthestCorner = 0.45;
constexpr double kRadians = std::numbers::pi / 180;

/// Box and Muller's method; one of its two numbers is not used.
double normal(Random& random) {
  const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
  return radius * std::cos(2 * std::numbers::pi * random.uniform());
}

double distance(cv::Point2f a, cv::Point2f b) {
  return std::hypot(static_cast<double>(a.x - b.x), static_cast<double>(a.y - b.y));
}

/// A view of the image through a quadrilateral, which is then rotated and shifted.
struct Warp {
  cv::Matx33d perspective;  // of the quadrilateral onto `view`
  cv::Size view;            // pixels; enlarged to the image's size
  cv::Matx33d affine;       // of the enlarged view
};

/// Moves the corners inwards. The view is as large as the longer of its opposite sides.
void draw_perspective(cv::Size size, double deviation, Random& random, Warp& warp) {
  const auto width = static_cast<float>(size.width);
  const auto height = static_cast<float>(size.height);
  std::array<cv::Point2f, 4> corners{cv::Point2f{0, 0}, {width, 0}, {width, height}, {0, height}};
  for (cv::Point2f& corner : corners) {
    const auto inwards = [&](float side) {
      const double part = std::min(std::abs(normal(random)) * deviation, kFurthestCorner);
      return static_cast<float>(part) * side;
    };
    corner.x += (corner.x > 0 ? -1 : 1) * inwards(width);
    corner.y += (corner.y > 0 ? -1 : 1) * inwards(height);
  }
  const auto& [top_left, top_right, bottom_right, bottom_left] = corners;
  const auto longer = [](double a, double b) {
    return std::max(2, static_cast<int>(std::max(a, b)));
  };
  warp.view = {longer(distance(top_left, top_right), distance(bottom_left, bottom_right)),
               longer(distance(top_right, bottom_right), distance(top_left, bottom_left))};
  const auto right = static_cast<float>(warp.view.width);
  const auto bottom = static_cast<float>(warp.view.height);
  const std::array<cv::Point2f, 4> view{
      cv::Point2f{0, 0}, {right, 0}, {right, bottom}, {0, bottom}};
  warp.perspective = cv::Matx33d(cv::getPerspectiveTransform(corners.data(), view.data()));
}

/// About the centre; the same part of both sides is the shift.
cv::Matx33d draw_affine(cv::Size size, const PseudoClipOptions& options, Random& random) {
  const double angle = random.uniform(-options.rotate, options.rotate) * kRadians;
  const double shift = random.uniform(-options.translate, options.translate);
  const double x = 0.5 * (size.width - 1);
  const double y = 0.5 * (size.height - 1);
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  return {c, -s, x - c * x + s * y + shift * size.width,
          s, c,  y - s * x - c * y + shift * size.height,
          0, 0,  1};
}

Warp draw_warp(cv::Size size, const PseudoClipOptions& options, Random& random) {
  Warp warp;
  draw_perspective(size, options.perspective, random, warp);
  warp.affine = draw_affine(size, options, random);
  return warp;
}

cv::Mat warp_frame(const cv::Mat& frame, const Warp& warp) {
  cv::Mat view, enlarged, result;
  cv::warpPerspective(frame, view, warp.perspective, warp.view, cv::INTER_LINEAR);
  const bool grows = frame.cols > view.cols || frame.rows > view.rows;
  cv::resize(view, enlarged, frame.size(), 0, 0, grows ? cv::INTER_AREA : cv::INTER_LINEAR);
  cv::warpAffine(enlarged, result, warp.affine.get_minor<2, 3>(0, 0), frame.size(),
                 cv::INTER_LINEAR);
  return result;
}

cv::Mat warp_owners(const cv::Mat& owners, const Warp& warp) {
  const double x = static_cast<double>(owners.cols) / warp.view.width;
  const double y = static_cast<double>(owners.rows) / warp.view.height;
  // Pixel centres are at half numbers: (i + 1/2) * x - 1/2.
  const cv::Matx33d enlarge{x, 0, 0.5 * (x - 1), 0, y, 0.5 * (y - 1), 0, 0, 1};
  cv::Mat result;
  cv::warpPerspective(owners, result, warp.affine * enlarge * warp.perspective, owners.size(),
                      cv::INTER_NEAREST);
  return result;
}

/// A line of size x size cells at a drawn angle, with weights that change evenly from one end to
/// the other: motion blur.
cv::Mat draw_line_kernel(int64_t size, Random& random) {
  const double angle = random.uniform(0, 360) * kRadians;
  const double start = random.uniform();
  const auto side = static_cast<int>(size);
  cv::Mat upright = cv::Mat::zeros(side, side, CV_8UC1);
  for (int i = 0; i < side; ++i) {
    const double part = side == 1 ? 0 : static_cast<double>(i) / (side - 1);
    upright.at<uint8_t>(i, side / 2) =
        static_cast<uint8_t>(kScale * (start + part * (1 - 2 * start)));
  }
  const double middle = 0.5 * (side - 1);
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  const cv::Matx23d rotation{c, -s, middle - c * middle + s * middle,
                             s, c,  middle - s * middle - c * middle};
  cv::Mat rotated, kernel;
  cv::warpAffine(upright, rotated, rotation, upright.size(), cv::INTER_LINEAR);
  rotated.convertTo(kernel, CV_32F);
  const double sum = cv::sum(kernel)[0];
  if (sum == 0) return cv::Mat::ones(1, 1, CV_32F);  // a line of one cell without weight
  return kernel / sum;
}

void blur(cv::Mat& frame, const PseudoClipOptions& options, Random& random) {
  const auto last = static_cast<int64_t>(options.blur_sizes.size()) - 1;
  const auto choice = static_cast<size_t>(random.integer(0, last));
  cv::filter2D(frame, frame, -1, draw_line_kernel(options.blur_sizes[choice], random));
}

/// Adds the same number to hue and saturation, both on a scale of 0..255.
void shift_hue_and_saturation(cv::Mat& frame, int64_t shift) {
  const auto turn = static_cast<int>(static_cast<double>(shift) / kScale * kHueTurn);
  cv::Mat table(1, 256, CV_8UC3);
  for (int level = 0; level < 256; ++level)
    table.at<cv::Vec3b>(0, level) = {
        static_cast<uint8_t>(((level + turn) % kHueTurn + kHueTurn) % kHueTurn),
        cv::saturate_cast<uint8_t>(level + static_cast<int>(shift)), static_cast<uint8_t>(level)};
  cv::cvtColor(frame, frame, cv::COLOR_RGB2HSV);
  cv::LUT(frame, table, frame);
  cv::cvtColor(frame, frame, cv::COLOR_HSV2RGB);
}

/// One of brightness and hue, or both: imgaug's SomeOf((1, None)) draws first how many.
cv::Mat recoloured(const cv::Mat& image, const PseudoClipOptions& options, Random& random) {
  const bool both = random.integer(1, 2) == 2;
  const bool hue_alone = random.integer(0, 1) == 1;
  cv::Mat frame = image.clone();
  if (both || !hue_alone) {
    const double change = std::round(random.uniform(-options.brightness, options.brightness));
    cv::add(frame, cv::Scalar::all(change), frame);
  }
  const auto largest = static_cast<int64_t>(options.hue_saturation);
  if ((both || hue_alone) && largest > 0)
    shift_hue_and_saturation(frame, random.integer(-largest, largest));
  return frame;
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
    // Colours first: what the warp leaves empty stays black.
    cv::Mat frame = recoloured(image, options, random);
    const Warp warp = draw_warp(image.size(), options, random);
    frame = warp_frame(frame, warp);
    const cv::Mat moved = warp_owners(owners, warp);
    if (random.happens(options.blur_probability)) blur(frame, options, random);
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
