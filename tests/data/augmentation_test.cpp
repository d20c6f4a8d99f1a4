#include <cmath>
#include <opencv2/imgproc.hpp>
#include <set>

#include "launcher/data/geometry.h"
#include "launcher/data/photometric.h"
#include "tests/data/augment_steps.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::augment;
using test_support::step;
using test_support::transform_of;

constexpr float kInside = 200;

/// Two frames with an object painted into the frame and into its mask.
ClipImages painted_clip(int height, int width) {
  ClipImages clip;
  clip.masks.resize(1);
  for (int t = 0; t < 2; ++t) {
    cv::Mat mask(height, width, CV_8UC1, cv::Scalar(0));
    cv::rectangle(mask, {width / 5 + 3 * t, height / 4, width / 3, height / 3}, 1, cv::FILLED);
    cv::Mat frame(height, width, CV_32FC3, cv::Scalar(0, 0, 0));
    frame.setTo(cv::Scalar(kInside, 0, 0), mask);
    clip.frames.push_back(frame);
    clip.masks[0].push_back(mask);
  }
  return clip;
}

/// Pixels farther than `margin` from an edge of the mask where "the frame shows the object" and
/// "the mask says so" differ. Corners, where bilinear and nearest disagree by nature, do not count.
int count_differences(const ClipImages& clip, int margin) {
  const cv::Mat reach = cv::Mat::ones(2 * margin + 1, 2 * margin + 1, CV_8UC1);
  int differences = 0;
  for (size_t t = 0; t < clip.frames.size(); ++t) {
    cv::Mat grown;
    cv::Mat shrunk;
    cv::dilate(clip.masks[0][t], grown, reach);
    cv::erode(clip.masks[0][t], shrunk, reach);
    for (int y = 0; y < clip.size().height; ++y)
      for (int x = 0; x < clip.size().width; ++x) {
        const float red = clip.frames[t].at<cv::Vec3f>(y, x)[0];
        if (grown.at<uint8_t>(y, x) != shrunk.at<uint8_t>(y, x)) continue;
        if (std::abs(red - kInside / 2) < 0.26F * kInside) continue;
        differences += (red > kInside / 2) != (clip.masks[0][t].at<uint8_t>(y, x) != 0);
      }
  }
  return differences;
}

TEST(Augment, FrameAndMaskAgreeToThePixelAfterOneResize) {
  AugmentStepOptions flip = step("flip");
  flip.probability = 0.5;
  const AugmentStepOptions crop = step("crop", "smallest = 40\nlargest = 70");
  for (uint64_t seed = 0; seed < 20; ++seed)
    for (const int64_t side : {23, 37, 50, 64, 81, 150, 163}) {
      ClipImages clip = painted_clip(80, 120);
      Random random({seed});
      augment(clip, {.steps = {flip, crop}, .short_side = side, .max_side = {}}, random);
      EXPECT_EQ(count_differences(clip, 0), 0) << "seed " << seed << ", short side " << side;
    }
}

TEST(Augment, FlipsAndReversalsMoveFramesAndMasksAlike) {
  const ClipImages before = painted_clip(20, 30);
  const auto after = [&](const std::string& kind) {
    ClipImages clip = painted_clip(20, 30);
    clip.masks.push_back({cv::Mat(), clip.masks[0][1]});  // absent in the first frame
    Random random({1});
    augment(clip, {.steps = {step(kind)}, .short_side = {}, .max_side = {}}, random);
    EXPECT_EQ(count_differences(clip, 0), 0) << kind;
    return clip;
  };
  const ClipImages vertical = after("flip_vertical");
  EXPECT_EQ(vertical.masks[0][0].at<uint8_t>(19 - 5, 6), before.masks[0][0].at<uint8_t>(5, 6));
  EXPECT_EQ(vertical.masks[0][0].at<uint8_t>(19 - 5, 6), 1);
  EXPECT_TRUE(vertical.masks[1][0].empty());
  const ClipImages reversed = after("reverse_time");
  EXPECT_EQ(cv::norm(reversed.masks[0][0], before.masks[0][1], cv::NORM_INF), 0);
  EXPECT_TRUE(reversed.masks[1][1].empty());
}

TEST(Augment, ShuffledChannelsAreOneDrawForTheClip) {
  std::set<int> places;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    ClipImages clip = painted_clip(20, 30);
    Random random({seed});
    augment(clip, {.steps = {step("shuffle_channels")}, .short_side = {}, .max_side = {}}, random);
    const cv::Scalar first = cv::sum(clip.frames[0]), second = cv::sum(clip.frames[1]);
    int place = -1;
    for (int c = 0; c < 3; ++c)
      if (first[c] > 0) place = c;
    EXPECT_GT(second[place], 0) << "the same channel in both frames";
    EXPECT_EQ(cv::sum(first)[0], first[place]) << "the two other channels stay empty";
    places.insert(place);
  }
  EXPECT_EQ(places.size(), 3u);
}

TEST(Augment, FrameAndMaskStayTogetherThroughAllSteps) {
  const AugmentStepOptions resize = step("resize", "short_sides = [31, 47, 64, 150]");
  const AugmentStepOptions crop =
      step("crop", "short_sides = [70, 90]\nsmallest = 40\nlargest = 80\nprobability = 0.7");
  AugmentStepOptions flip = step("flip");
  flip.probability = 0.5;
  const AugmentOptions options{.steps = {flip, resize, crop}, .short_side = 53, .max_side = 90};
  int64_t inside = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    ClipImages clip = painted_clip(80, 120);
    Random random({seed});
    augment(clip, options, random);
    EXPECT_EQ(count_differences(clip, 1), 0) << "seed " << seed;
    EXPECT_EQ(clip.masks[0][1].size(), clip.size());
    inside += cv::countNonZero(clip.masks[0][0]);
  }
  EXPECT_GT(inside, 1000);
}

TEST(Augment, FlipTurnsEveryFrameOfTheClip) {
  ClipImages clip = painted_clip(20, 30);
  const ClipImages before = painted_clip(20, 30);
  Random random({1});
  augment(clip, {.steps = {step("flip")}, .short_side = {}, .max_side = {}}, random);
  for (size_t t = 0; t < 2; ++t)
    for (int x = 0; x < 30; ++x) {
      EXPECT_EQ(clip.masks[0][t].at<uint8_t>(8, x), before.masks[0][t].at<uint8_t>(8, 29 - x));
      EXPECT_EQ(clip.frames[t].at<cv::Vec3f>(8, x), before.frames[t].at<cv::Vec3f>(8, 29 - x));
    }
}

TEST(Augment, CropNeverExceedsTheFrame) {
  const AugmentStepOptions crop = step("crop", "smallest = 25\nlargest = 100");
  for (uint64_t seed = 0; seed < 50; ++seed) {
    ClipImages clip = painted_clip(20, 40);
    Random random({seed});
    augment(clip, {.steps = {crop}, .short_side = {}, .max_side = {}}, random);
    EXPECT_EQ(clip.size().height, 20);  // smaller than the smallest crop: kept
    EXPECT_GE(clip.size().width, 25);
    EXPECT_LE(clip.size().width, 40);
  }
}

/// From an implementation of SplitMix64 in Python: first whether the step is done, then its draws.
TEST(Augment, DrawsComeInTheOrderOfVersion01) {
  struct Case {
    bool is_flipped;
    cv::Rect region;
  };
  const AugmentOptions options{
      .steps = {step("flip", "probability = 0.5"), step("crop", "smallest = 40\nlargest = 71")},
      .short_side = {},
      .max_side = {}};
  uint64_t seed = 0;
  for (const auto& [is_flipped, region] : {Case{true, {83, 4, 44, 50}},
                                           {false, {37, 22, 69, 57}},
                                           {true, {6, 17, 40, 40}},
                                           {true, {40, 4, 47, 45}}}) {
    Random random({seed++});
    const ClipTransform transform = transform_of(options, {160, 96}, 1, random);
    EXPECT_EQ(transform.region(), region);
    EXPECT_EQ(transform.columns().front() > transform.columns().back(), is_flipped);
  }
}

TEST(Augment, AbsentMasksStayAbsent) {
  ClipImages clip = painted_clip(20, 30);
  clip.masks[0][1] = cv::Mat();
  Random random({1});
  augment(clip, {.steps = {step("flip")}, .short_side = 10, .max_side = {}}, random);
  EXPECT_TRUE(clip.masks[0][1].empty());
  EXPECT_EQ(clip.masks[0][0].rows, 10);
}

TEST(Geometry, MaskResizeTakesThePixelUnderTheCentre) {
  cv::Mat mask(1, 4, CV_8UC1);
  for (int x = 0; x < 4; ++x) mask.at<uint8_t>(0, x) = static_cast<uint8_t>(x);
  const cv::Mat smaller = take_pixels(mask, {0}, nearest_indices(4, 2));  // centres at 1.0 and 3.0
  EXPECT_EQ(smaller.at<uint8_t>(0, 0), 1);
  EXPECT_EQ(smaller.at<uint8_t>(0, 1), 3);
}

/// Runs and pixels of the same random masks through the same random transforms.
TEST(Geometry, RunsAreTakenAsPixelsAre) {
  const AugmentStepOptions resize =
      step("resize", "short_sides = [7, 19, 40, 90]\nprobability = 0.6");
  const AugmentStepOptions crop = step("crop", "smallest = 5\nlargest = 30\nprobability = 0.6");
  AugmentStepOptions flip = step("flip"), flip_vertical = step("flip_vertical");
  flip.probability = flip_vertical.probability = 0.5;
  AugmentOptions options;
  options.steps = {flip, resize, flip_vertical, crop, resize};
  int64_t inside = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random random({seed});
    const cv::Size size(static_cast<int>(random.integer(1, 50)),
                        static_cast<int>(random.integer(1, 50)));
    Rle rle{size.height, size.width, {}};
    const int64_t longest = random.integer(1, 2 * size.height);
    for (int64_t left = size.area(); left > 0;) {
      const int64_t run = random.integer(rle.counts.empty() ? 0 : 1, longest);
      rle.counts.push_back(static_cast<uint32_t>(std::min(left, run)));
      left -= rle.counts.back();
    }
    std::vector<uint8_t> pixels = to_mask(rle);
    const cv::Mat mask(size, CV_8UC1, pixels.data());
    const ClipTransform transform = transform_of(options, size, 1, random);
    const cv::Mat expected = take_pixels(mask, transform.rows(), transform.columns());
    const cv::Mat taken = take_pixels(rle, transform.rows(), transform.columns());
    ASSERT_EQ(taken.size(), transform.size());
    ASSERT_EQ(cv::norm(taken, expected, cv::NORM_INF), 0) << "seed " << seed;
    inside += cv::countNonZero(taken);
  }
  EXPECT_GT(inside, 10000);
}

TEST(Augment, OneOfTwoResizesInARowIsDone) {
  const AugmentStepOptions resize = step("resize", "short_sides = [64]");
  Random random({1});
  const ClipTransform transform =
      transform_of({.steps = {resize}, .short_side = 20, .max_side = 31}, {120, 80}, 1, random);
  EXPECT_EQ(transform.size(), cv::Size(30, 20));
  EXPECT_EQ(transform.reduction(), 4);
  EXPECT_EQ(transform.rows(), nearest_indices(80, 20)) << "not by way of the 64 rows between";
  const cv::Mat frame(80, 120, CV_8UC3, cv::Scalar(7, 8, 9));
  EXPECT_EQ(transform.frame(frame, 0).size(), transform.size());
}

TEST(Augment, ACropOfAResizedFrameIsACropOfTheFrame) {
  const AugmentStepOptions crop =  // of half the size
      step("crop", "short_sides = [40]\nsmallest = 12\nlargest = 30");
  std::set<std::pair<int, int>> places;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Random random({seed}), again({seed});
    const ClipTransform once =
        transform_of({.steps = {crop}, .short_side = {}, .max_side = {}}, {120, 80}, 1, again);
    const ClipTransform transform =
        transform_of({.steps = {crop}, .short_side = 24, .max_side = 60}, {120, 80}, 1, random);
    EXPECT_EQ(transform.size(), resized_size(once.size().height, once.size().width, 24, 60))
        << "the size is that of two resizes";
    const cv::Rect region = transform.region();
    EXPECT_NEAR(region.width, 2 * once.size().width, transform.reduction());
    EXPECT_NEAR(region.height, 2 * once.size().height, transform.reduction());
    EXPECT_EQ(region & cv::Rect(0, 0, 120, 80), region);
    EXPECT_EQ(region.x % transform.reduction(), 0);
    EXPECT_EQ(transform.columns().front(),
              region.x + nearest_indices(region.width, transform.size().width).front());
    places.insert({region.x, region.y});
  }
  EXPECT_GT(places.size(), 20u);
}

TEST(Augment, AReducedFrameShowsTheSame) {
  const AugmentStepOptions crop = step("crop", "smallest = 40\nlargest = 71");
  const AugmentStepOptions resized_crop =
      step("crop", "short_sides = [75, 120]\nsmallest = 40\nlargest = 71");
  const AugmentStepOptions flip = step("flip", "probability = 0.5");
  cv::Mat frame(96, 160, CV_8UC3);
  cv::RNG(3).fill(frame, cv::RNG::UNIFORM, 0, 256);
  cv::GaussianBlur(frame, frame, {0, 0}, 2);
  std::set<int> reductions;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Random random({seed});
    const ClipTransform transform = transform_of(
        {.steps = {flip, seed % 2 == 0 ? crop : resized_crop}, .short_side = 15, .max_side = {}},
        frame.size(), 1, random);
    const int reduction = transform.reduction();
    cv::Mat reduced;
    cv::resize(frame, reduced, frame.size() / reduction, 0, 0, cv::INTER_AREA);
    // Levels of the reduced frame are rounded to whole ones.
    EXPECT_LE(cv::norm(transform.frame(frame, 0), transform.frame(reduced, 0), cv::NORM_INF), 0.51)
        << "seed " << seed << ", reduction " << reduction;
    reductions.insert(reduction);
  }
  EXPECT_GE(reductions.size(), 2u);
}

TEST(Augment, ImagesAreDecodedNoSmallerThanNeeded) {
  const auto reduction = [](const std::vector<AugmentStepOptions>& steps,
                            std::optional<int64_t> short_side) {
    Random random({1});
    return transform_of({.steps = steps, .short_side = short_side, .max_side = {}}, {1280, 720}, 1,
                        random)
        .reduction();
  };
  const AugmentStepOptions crop = step("crop", "smallest = 64\nlargest = 64");
  const AugmentStepOptions crop_of_resized =
      step("crop", "short_sides = [360]\nsmallest = 64\nlargest = 64");
  EXPECT_EQ(reduction({}, 360), 2);
  EXPECT_EQ(reduction({}, 361), 1);
  EXPECT_EQ(reduction({}, {}), 1);
  EXPECT_EQ(reduction({step("flip"), step("photometric")}, 180), 4);
  EXPECT_EQ(reduction({crop}, 30), 2) << "of the region";
  EXPECT_EQ(reduction({crop}, {}), 1);
  EXPECT_EQ(reduction({crop_of_resized}, 30), 4) << "64 pixels of 360 rows are 128 of 720";
  EXPECT_EQ(reduction({crop_of_resized, step("photometric")}, 30), 2) << "the first resize decides";
}

TEST(Photometric, IsDrawnOncePerClipUnlessAsked) {
  const auto difference = [](bool per_frame, uint64_t seed) {
    ClipImages clip;
    for (int t = 0; t < 4; ++t) clip.frames.emplace_back(5, 5, CV_32FC3, cv::Scalar(90, 120, 60));
    const AugmentStepOptions options =
        step("photometric", per_frame ? "per_frame = true" : "per_frame = false");
    Random random({seed});
    augment(clip, {.steps = {options}, .short_side = {}, .max_side = {}}, random);
    return cv::norm(clip.frames[0], clip.frames[3], cv::NORM_INF);
  };
  double over_frames = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(difference(false, seed), 0) << "seed " << seed;
    over_frames += difference(true, seed);
  }
  EXPECT_GT(over_frames, 0);
}

TEST(Photometric, ClipsOrWrapsAsAsked) {
  const cv::Mat frame(2, 2, CV_32FC3, cv::Scalar(250, 100, 5));
  const ColourChange brighter{.brightness = 20};
  EXPECT_EQ(distort(frame, brighter).at<cv::Vec3f>(0, 0), cv::Vec3f(255, 120, 25));
  const ColourChange wrapping{.brightness = 20, .wrap_overflow = true};
  EXPECT_EQ(distort(frame, wrapping).at<cv::Vec3f>(0, 0), cv::Vec3f(14, 120, 25));
  const ColourChange darker{.brightness = -20};
  EXPECT_EQ(distort(frame, darker).at<cv::Vec3f>(0, 0), cv::Vec3f(230, 80, 0));
  const ColourChange wrapping_down{.brightness = -20, .wrap_overflow = true};
  EXPECT_EQ(distort(frame, wrapping_down).at<cv::Vec3f>(0, 0), cv::Vec3f(230, 80, 241));
}

TEST(Photometric, DoesWhatItsNumbersSay) {
  const cv::Mat frame(1, 1, CV_32FC3, cv::Scalar(200, 100, 50));
  const auto pixel = [&](const ColourChange& draw) {
    return distort(frame, draw).at<cv::Vec3f>(0, 0);
  };
  EXPECT_EQ(pixel({}), cv::Vec3f(200, 100, 50));
  EXPECT_EQ(pixel({.contrast = 0.5}), cv::Vec3f(100, 50, 25));
  EXPECT_EQ(pixel({.brightness = 10, .contrast = 0.5, .contrast_first = false}),
            cv::Vec3f(105, 55, 30));
  EXPECT_EQ(pixel({.channels = {2, 0, 1}}), cv::Vec3f(50, 200, 100));
  const cv::Vec3f grey = pixel({.saturation = 0});
  EXPECT_NEAR(grey[2], 200, 0.01);
  const cv::Vec3f turned = pixel({.hue = 120});  // red becomes green
  EXPECT_NEAR(turned[0], 50, 0.01);
  EXPECT_NEAR(turned[1], 200, 0.01);
  EXPECT_NEAR(turned[2], 100, 0.01);
}

}  // namespace
}  // namespace tessera::data
