#include "launcher/data/resizing.h"

#include <opencv2/imgproc.hpp>
#include <set>

#include "core/error.h"
#include "launcher/data/antialiased_resize.h"
#include "launcher/data/pixel_loops.h"
#include "tests/data/augment_steps.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::step;
using test_support::transform_of;

constexpr Resizing kDown{.rounds_down = true};
constexpr Resizing kAntialiased{.antialiased = true};

TEST(ResizedSize, KeepsTheAspectAndTheLimit) {
  EXPECT_EQ(resized_size(720, 1280, 300, 540), cv::Size(533, 300));
  EXPECT_EQ(resized_size(1280, 720, 300, 540), cv::Size(300, 533));
  EXPECT_EQ(resized_size(100, 400, 300, 540), cv::Size(540, 135));
  EXPECT_EQ(resized_size(100, 400, 300, 0), cv::Size(1200, 300));
  EXPECT_EQ(resized_size(1, 4000, 300, 540), cv::Size(540, 1));
}

TEST(ResizedSize, RefusesNoSize) {
  EXPECT_THROW(resized_size(360, 640, 0, 0), RuntimeError);
  EXPECT_THROW(resized_size(360, 640, 0, 540, kDown), RuntimeError);
}

/// Values of detectron2's and of DETR's code, which torchvision's agrees with.
TEST(ResizedSize, FollowsTheRuleOfEitherFamilyOfCodes) {
  struct Case {
    int64_t height, width, short_side, max_side;
    cv::Size nearest, down;
  };
  for (const Case& c : {Case{720, 1280, 300, 540, {533, 300}, {533, 300}},
                        {480, 854, 360, 1333, {641, 360}, {640, 360}},
                        {720, 1300, 300, 540, {540, 299}, {539, 299}},
                        {1300, 720, 300, 540, {299, 540}, {299, 539}},
                        {500, 1000, 300, 541, {541, 271}, {540, 270}},  // 270.5: a tie to even
                        {360, 640, 360, 0, {640, 360}, {640, 360}},
                        {333, 517, 288, 768, {447, 288}, {447, 288}},
                        {1, 4000, 300, 540, {540, 1}, {4000, 1}}}) {
    EXPECT_EQ(resized_size(c.height, c.width, c.short_side, c.max_side), c.nearest);
    EXPECT_EQ(resized_size(c.height, c.width, c.short_side, c.max_side, kDown), c.down);
  }
}

TEST(FastResize, LargeShrinkingAveragesBlocks) {
  EXPECT_EQ(block_reduction({1280, 720}, {640, 360}), 2);
  EXPECT_EQ(block_reduction({1280, 720}, {641, 360}), 1);
  EXPECT_EQ(block_reduction({1280, 720}, {320, 170}), 4);
  EXPECT_EQ(block_reduction({1280, 720}, {8, 8}), 8);
  EXPECT_EQ(block_reduction({100, 100}, {300, 300}), 1);
  // Single bright pixels, none of them where a bilinear lookup would see them.
  cv::Mat dots(64, 64, CV_32FC1, cv::Scalar(0));
  for (int y = 0; y < 64; y += 4)
    for (int x = 0; x < 64; x += 4) dots.at<float>(y, x) = 16;
  const cv::Mat small = resize_frame(dots, {16, 16});
  EXPECT_NEAR(cv::norm(small - 1, cv::NORM_INF), 0, 1e-5);
}

cv::Mat pixels_of(cv::Size size, std::vector<int> levels) {
  cv::Mat result(size, CV_8UC3);
  for (size_t i = 0; i < levels.size(); ++i) result.data[i] = static_cast<uint8_t>(levels[i]);
  return result;
}

/// Results of Pillow 11.3.0's Image.resize(size, BILINEAR). tests/integration/pillow_resize.py
/// compares many more with Pillow itself.
TEST(AntialiasedResize, GivesPillowsLevels) {
  const cv::Mat smaller = resize_antialiased(
      pixels_of(
          {7, 5},
          {139, 74,  229, 241, 169, 65,  6,   160, 149, 106, 38,  175, 188, 205, 175, 229, 98,  249,
           10,  148, 95,  86,  147, 198, 66,  39,  106, 213, 171, 45,  167, 57,  69,  81,  55,  14,
           153, 178, 215, 76,  52,  39,  250, 72,  215, 50,  161, 223, 112, 172, 161, 233, 38,  17,
           89,  1,   221, 6,   242, 127, 143, 6,   60,  210, 94,  25,  166, 33,  249, 189, 12,  204,
           33,  57,  124, 30,  199, 149, 202, 119, 72,  220, 3,   209, 122, 136, 147, 77,  133, 82,
           115, 87,  162, 230, 70,  71,  240, 62,  47,  184, 31,  34,  63,  65,  146}),
      {4, 3});
  const cv::Mat smaller_of_pillow =
      pixels_of({4, 3}, {136, 112, 153, 120, 122, 107, 150, 113, 139, 111, 119, 143,
                         148, 101, 182, 143, 105, 131, 104, 83,  124, 115, 97,  111,
                         140, 103, 124, 140, 64,  151, 157, 94,  84,  157, 55,  116});
  EXPECT_LE(cv::norm(smaller, smaller_of_pillow, cv::NORM_INF), 1);
  EXPECT_LE(cv::norm(smaller, smaller_of_pillow, cv::NORM_L1), 2) << "nearly all levels are equal";
  const cv::Mat larger = resize_antialiased(
      pixels_of({2, 3},
                {81, 133, 240, 113, 30, 247, 103, 122, 31, 19, 42, 129, 141, 136, 33, 149, 161, 0}),
      {5, 4});
  const cv::Mat larger_of_pillow =
      pixels_of({5, 4}, {81,  133, 240, 84,  123, 241, 97,  82,  244, 110, 40,  246, 113, 30,  247,
                         95,  126, 109, 91,  117, 116, 75,  82,  142, 58,  46,  167, 54,  38,  173,
                         117, 127, 32,  113, 123, 37,  93,  107, 56,  72,  91,  76,  68,  87,  81,
                         141, 136, 33,  142, 138, 30,  145, 149, 17,  148, 159, 3,   149, 161, 0});
  EXPECT_LE(cv::norm(larger, larger_of_pillow, cv::NORM_INF), 1);
  EXPECT_LE(cv::norm(larger, larger_of_pillow, cv::NORM_L1), 2);
}

TEST(AntialiasedResize, TakesAPartOfAFrameAsAFrame) {
  cv::Mat frame(40, 60, CV_8UC3);
  cv::RNG(3).fill(frame, cv::RNG::UNIFORM, 0, 256);
  const cv::Mat part = frame(cv::Rect(7, 5, 30, 20));
  EXPECT_EQ(cv::norm(resize_antialiased(part, {11, 9}), resize_antialiased(part.clone(), {11, 9}),
                     cv::NORM_INF),
            0);
  EXPECT_EQ(resize_frame(frame, frame.size(), kAntialiased).data, frame.data);
  const cv::Mat floats(4, 6, CV_32FC3);
  test_support::expect_parts(test_support::message_of<ShapeError>([&] {
                               resize_antialiased(floats, {2, 2});
                             }),
                             {"8 bits", "data.resize"});
}

/// The steps of the authors' codes, one after the other: a resize, a crop, a resize.
TEST(AntialiasedResize, DoesEveryStepAsWritten) {
  cv::Mat frame(96, 160, CV_8UC3);
  cv::RNG(3).fill(frame, cv::RNG::UNIFORM, 0, 256);
  const AugmentStepOptions resize = step("resize", "short_sides = [64]");
  const AugmentStepOptions crop = step("crop", "short_sides = [50]\nsmallest = 30\nlargest = 30");
  const AugmentOptions options{.steps = {resize, crop}, .short_side = 20, .max_side = {}};
  std::set<double> places;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Random random({seed});
    const ClipTransform transform = transform_of(options, frame.size(), 1, random, kAntialiased);
    EXPECT_EQ(transform.reduction(), 1) << "every pixel is needed";
    EXPECT_EQ(transform.region(), cv::Rect(cv::Point(), frame.size()));
    const cv::Mat result = transform.frame(frame, 0);
    ASSERT_EQ(result.type(), CV_8UC3);
    const cv::Mat twice = resize_antialiased(resize_antialiased(frame, {107, 64}), {84, 50});
    double nearest = 255;
    for (int y = 0; y <= 20; ++y)
      for (int x = 0; x <= 54; ++x) {
        const cv::Mat cut = resize_antialiased(twice(cv::Rect(x, y, 30, 30)), {20, 20});
        nearest = std::min(nearest, cv::norm(cut, result, cv::NORM_INF));
      }
    EXPECT_EQ(nearest, 0) << "seed " << seed;
    places.insert(cv::sum(result)[0]);
  }
  EXPECT_GT(places.size(), 5u);
}

/// A cast to 8 bits comes before the resize, as in VisTR's code, which cuts the fraction off.
TEST(AntialiasedResize, SeesWholeLevelsAfterPhotometricSteps) {
  const cv::Mat levels(2, 2, CV_32FC3, cv::Scalar(7.999, 0.5, 255));
  const cv::Mat bytes = cut_to_bytes(levels);
  EXPECT_EQ(bytes.at<cv::Vec3b>(1, 1), cv::Vec3b(7, 0, 255));
  cv::Mat frame(40, 60, CV_8UC3, cv::Scalar(90, 120, 60));
  const AugmentStepOptions photometric = step("photometric");
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random({seed}), again({seed});
    const ClipTransform transform =
        transform_of({.steps = {photometric}, .short_side = 20, .max_side = {}}, frame.size(), 1,
                     random, kAntialiased);
    // Without antialiasing levels keep their fractions.
    const cv::Mat distorted =
        transform_of({.steps = {photometric}, .short_side = {}, .max_side = {}}, frame.size(), 1,
                     again)
            .frame(frame, 0);
    ASSERT_EQ(distorted.type(), CV_32FC3);
    EXPECT_EQ(transform.frame(frame, 0).at<cv::Vec3b>(10, 10),
              cut_to_bytes(distorted).at<cv::Vec3b>(10, 10))
        << seed;
  }
}

}  // namespace
}  // namespace tessera::data
