#include "launcher/data/pseudo_clip.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <opencv2/imgproc.hpp>
#include <string>

#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

/// Two instances that overlap, on an image whose red is 3 times the column and whose green is 4
/// times the row.
ClipImages overlapping() {
  ClipImages clip;
  cv::Mat image(60, 80, CV_8UC3);
  for (int y = 0; y < 60; ++y)
    for (int x = 0; x < 80; ++x)
      image.at<cv::Vec3b>(y, x) = {static_cast<uint8_t>(3 * x), static_cast<uint8_t>(4 * y), 100};
  clip.frames = {image};
  cv::Mat first = cv::Mat::zeros(60, 80, CV_8UC1);
  cv::Mat second = first.clone();
  first(cv::Rect(20, 20, 30, 20)) = 1;
  second(cv::Rect(35, 25, 30, 20)) = 1;
  clip.masks = {{first}, {second}};
  return clip;
}

PseudoClipOptions geometry_only() {
  PseudoClipOptions options;
  options.blur_probability = 0;
  options.brightness = 0;
  options.hue_saturation = 0;
  options.shuffle = false;
  return options;
}

TEST(PseudoClip, TheLaterMaskHasThePixel) {
  ClipImages clip = overlapping();
  Random random({1});
  make_pseudo_clip(clip, 6, geometry_only(), random);
  ASSERT_EQ(clip.frames.size(), 6U);
  EXPECT_GT(cv::countNonZero(clip.masks[0][0] & clip.masks[1][0]), 0) << "the image stays as it is";
  for (size_t t = 1; t < 6; ++t) {
    EXPECT_EQ(cv::countNonZero(clip.masks[0][t] & clip.masks[1][t]), 0);
    EXPECT_GT(cv::countNonZero(clip.masks[1][t]), 0);
  }
}

/// Colours say where a pixel came from: masks must have gone the same way.
TEST(PseudoClip, MasksMoveWithTheirPixels) {
  ClipImages clip = overlapping();
  Random random({2});
  make_pseudo_clip(clip, 8, geometry_only(), random);
  for (size_t t = 1; t < 8; ++t)
    for (int y = 0; y < 60; ++y)
      for (int x = 0; x < 80; ++x) {
        const auto& levels = clip.frames[t].at<cv::Vec3b>(y, x);
        if (levels[2] < 100) continue;  // beyond the image, or at its rim
        const cv::Vec2f from(static_cast<float>(levels[0]) / 3, static_cast<float>(levels[1]) / 4);
        const bool inside = from[0] > 36.F && from[0] < 63.F && from[1] > 26.F && from[1] < 43.F;
        const bool outside = from[0] < 34.F || from[0] > 65.F || from[1] < 24.F || from[1] > 45.F;
        const bool marked = clip.masks[1][t].at<uint8_t>(y, x) != 0;
        ASSERT_TRUE(marked || !inside) << t << ": " << x << ", " << y;
        ASSERT_FALSE(marked && outside) << t << ": " << x << ", " << y;
      }
}

TEST(PseudoClip, ShiftsBySameFractionAlongBothSides) {
  PseudoClipOptions options = geometry_only();
  options.perspective = options.rotate = 0;
  options.translate = 0.1;
  float largest = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    ClipImages clip = overlapping();
    Random random({seed});
    make_pseudo_clip(clip, 2, options, random);
    const auto& levels = clip.frames[1].at<cv::Vec3b>(30, 40);
    const float x = (40 - static_cast<float>(levels[0]) / 3) / 80;
    const float y = (30 - static_cast<float>(levels[1]) / 4) / 60;
    EXPECT_LE(std::abs(x), 0.106F);
    EXPECT_NEAR(x, y, 0.012) << "one draw for both, to a level";
    largest = std::max(largest, std::abs(x));
  }
  EXPECT_GT(largest, 0.08F);
}

/// imgaug's SomeOf((1, None)) of two: one of them or both, equally often; so each alone a quarter.
TEST(PseudoClip, HalfOfTheFramesGetBothRecolourings) {
  PseudoClipOptions options = geometry_only();
  options.perspective = options.rotate = options.translate = 0;
  options.brightness = 40;
  options.hue_saturation = 60;
  int brightness = 0, hue = 0, both = 0;
  double largest = 0;
  constexpr int kFrames = 800;
  ClipImages clip;
  clip.frames = {cv::Mat(4, 4, CV_8UC3, cv::Scalar(120, 90, 60))};
  Random random({4});
  make_pseudo_clip(clip, kFrames + 1, options, random);
  for (size_t t = 1; t <= kFrames; ++t) {
    const auto& pixel = clip.frames[t].at<cv::Vec3b>(2, 2);
    const auto [low, high] = std::minmax({pixel[0], pixel[1], pixel[2]});
    // Brightness moves the largest channel, hue and saturation keep it and move the others.
    const bool brighter = std::abs(high - 120) > 1;
    const bool coloured = std::abs((high - low) - 60) > 1;
    brightness += brighter && !coloured;
    hue += coloured && !brighter;
    both += coloured && brighter;
    largest = std::max(largest, std::abs(high - 120.0));
  }
  EXPECT_NEAR(both / double{kFrames}, 0.5, 0.07);
  EXPECT_NEAR(brightness / double{kFrames}, 0.25, 0.06);
  EXPECT_NEAR(hue / double{kFrames}, 0.25, 0.06);
  EXPECT_LE(largest, 40);
  EXPECT_GT(largest, 35);
}

/// imgaug: one whole number for both, of 255 for saturation and of 180 turns of 2 degrees for hue.
TEST(PseudoClip, HueAndSaturationMoveByTheSameNumber) {
  PseudoClipOptions options = geometry_only();
  options.perspective = options.rotate = options.translate = 0;
  options.hue_saturation = 60;
  ClipImages clip;
  clip.frames = {cv::Mat(2, 2, CV_8UC3, cv::Scalar(120, 90, 60))};
  Random random({4});
  make_pseudo_clip(clip, 101, options, random);
  const auto hsv_of = [](const cv::Mat& frame) {
    cv::Mat hsv;
    cv::cvtColor(frame, hsv, cv::COLOR_RGB2HSV);
    return cv::Vec3i(hsv.at<cv::Vec3b>(0, 0));
  };
  const cv::Vec3i before = hsv_of(clip.frames[0]);
  int moved = 0;
  for (size_t t = 1; t <= 100; ++t) {
    const cv::Vec3i after = hsv_of(clip.frames[t]);
    const int saturation = after[1] - before[1];
    const int hue = (after[0] - before[0] + 270) % 180 - 90;
    EXPECT_NEAR(hue, saturation * 180 / 255, 3) << "to the rounding of 8-bit colours";
    EXPECT_LE(std::abs(saturation), 63);
    moved += std::abs(saturation) > 20;
  }
  EXPECT_GT(moved, 30);
}

/// Colours change before the warp: what lies outside the image stays black.
TEST(PseudoClip, BordersStayBlack) {
  PseudoClipOptions options = geometry_only();
  options.perspective = options.translate = 0;
  options.rotate = 20;
  options.brightness = 40;
  options.hue_saturation = 5;
  ClipImages clip;
  clip.frames = {cv::Mat(60, 80, CV_8UC3, cv::Scalar(120, 90, 60))};
  Random random({1});
  make_pseudo_clip(clip, 30, options, random);
  int borders = 0;
  for (size_t t = 1; t < 30; ++t)
    for (const cv::Point corner : {cv::Point(0, 0), cv::Point(79, 0), cv::Point(0, 59)}) {
      const auto& pixel = clip.frames[t].at<cv::Vec3b>(corner);
      if (pixel[0] > 60) continue;  // hardly rotated
      borders += pixel == cv::Vec3b(0, 0, 0);
      EXPECT_LE(pixel[2], 0.8 * pixel[0] + 1) << "a part of the image's colour, never grey";
    }
  EXPECT_GT(borders, 40);
}

/// Frames that imgaug 0.4.0 makes of the same image with the same draws; see pseudo_clip_cases.py.
TEST(PseudoClip, GivesTheFramesOfImgaug) {
  constexpr int kWidth = 24, kHeight = 18;
  cv::Mat image(kHeight, kWidth, CV_8UC3);
  for (int y = 0; y < kHeight; ++y)
    for (int x = 0; x < kWidth; ++x)
      for (int c = 0; c < 3; ++c)
        image.at<cv::Vec3b>(y, x)[c] =
            static_cast<uint8_t>((x * 5 + y * 7 + c * 60 + (x / 6 + y / 6) % 2 * 90) % 256);
  PseudoClipOptions options;
  options.blur_probability = 0.5;
  options.blur_sizes = {3, 5};
  options.shuffle = false;
  ClipImages clip;
  clip.frames = {image};
  Random random({3});
  make_pseudo_clip(clip, 13, options, random);
  std::ifstream stored(TESSERA_SOURCE_DIR "/tests/data/pseudo_clip_imgaug.txt");
  int64_t different = 0;
  for (size_t t = 1; t < 13; ++t) {
    std::string levels;
    ASSERT_TRUE(std::getline(stored, levels));
    ASSERT_EQ(levels.size(), 2 * image.total() * 3);
    cv::Mat expected(image.size(), CV_8UC3);
    for (size_t i = 0; i < levels.size() / 2; ++i)
      expected.data[i] = static_cast<uint8_t>(std::stoi(levels.substr(2 * i, 2), nullptr, 16));
    const cv::Mat difference =
        cv::abs(cv::Mat_<cv::Vec3s>(clip.frames[t]) - cv::Mat_<cv::Vec3s>(expected));
    EXPECT_LE(cv::norm(difference, cv::NORM_INF), 1) << "frame " << t;
    different += cv::countNonZero(difference.reshape(1));
  }
  EXPECT_LE(different, 12 * 5) << "of 15,552 levels";
}

TEST(PseudoClip, BlursAlongALine) {
  PseudoClipOptions options = geometry_only();
  options.perspective = options.rotate = options.translate = 0;
  options.blur_probability = 1;
  options.blur_sizes = {9};
  ClipImages clip = overlapping();
  cv::Mat dot = cv::Mat::zeros(60, 80, CV_8UC3);
  dot.at<cv::Vec3b>(30, 40) = {255, 255, 255};
  clip.frames = {dot};
  Random random({5});
  make_pseudo_clip(clip, 40, options, random);
  double most_uneven = 0;
  for (size_t t = 1; t < 40; ++t) {
    cv::Mat red;
    cv::extractChannel(clip.frames[t], red, 0);
    EXPECT_NEAR(cv::sum(red)[0], 255, 12);  // levels are rounded
    EXPECT_NEAR(red.at<uint8_t>(30, 40), 255 / 9.0, 8) << "the middle of 9 cells";
    cv::Mat away = red.clone();
    away(cv::Rect(40 - 4, 30 - 4, 9, 9)) = 0;
    EXPECT_EQ(cv::countNonZero(away), 0);
    const cv::Moments moments = cv::moments(red);
    most_uneven = std::max(
        most_uneven, std::hypot(moments.m10 / moments.m00 - 40, moments.m01 / moments.m00 - 30));
  }
  EXPECT_GT(most_uneven, 0.5) << "weights fall from one end to the other";
}

}  // namespace
}  // namespace tessera::data
