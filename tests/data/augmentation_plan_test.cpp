#include "launcher/data/augmentation_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>

#include "core/error.h"
#include "launcher/contract/data_parts.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;

ClipImages plain_clip(int num_frames, cv::Size size, int type = CV_8UC3) {
  ClipImages clip;
  clip.masks.resize(1);
  for (int t = 0; t < num_frames; ++t) {
    clip.frames.emplace_back(size, type, cv::Scalar(10.0 * t, 100, 200));
    cv::Mat mask(size, CV_8UC1, cv::Scalar(0));
    mask(cv::Rect(2, 1, 5, 4)).setTo(1);
    clip.masks[0].push_back(t == 0 ? mask : cv::Mat());
  }
  return clip;
}

TEST(AugmentationPlan, ChangesFramesInPlaceAndLeavesTheInputAlone) {
  for (const int type : {CV_8UC3, CV_32FC3})
    for (const bool antialiased : {false, true}) {
      if (antialiased && type == CV_32FC3) continue;
      AugmentationPlan plan({30, 20}, 2, {.antialiased = antialiased});
      plan.crop(3, 2, 24, 16);
      plan.change_frames([](at::Tensor frame, int64_t) {
        ASSERT_EQ(frame.sizes(), (std::vector<int64_t>{16, 24, 3}));
        ASSERT_EQ(frame.scalar_type(), at::kFloat);
        frame.select(2, 0).fill_(-5);
        frame.select(2, 2).add_(99.5);
        frame.narrow(0, 0, 1).select(2, 1).add_(0.25);
      });
      ClipImages clip = plain_clip(2, {30, 20}, type);
      const cv::Mat before = clip.frames[1].clone(), input = clip.frames[1];
      plan.apply(clip);
      EXPECT_EQ(cv::norm(input, before, cv::NORM_INF), 0) << "the input keeps its levels";
      cv::Mat levels;
      clip.frames[1].convertTo(levels, CV_32F);
      ASSERT_EQ(levels.size(), cv::Size(24, 16));
      EXPECT_EQ(levels.at<cv::Vec3f>(5, 5), cv::Vec3f(0, 100, 255)) << "levels are clipped";
      EXPECT_EQ(levels.at<cv::Vec3f>(0, 5)[1], antialiased ? 100 : 100.25F);
      EXPECT_EQ(clip.masks[0][0].size(), cv::Size(24, 16));
      EXPECT_TRUE(clip.masks[0][1].empty());
    }
}

TEST(AugmentationPlan, FramesThatAStepChangesAreDecodedWhole) {
  const auto change = [](at::Tensor frame, int64_t) {
    EXPECT_EQ(frame.sizes(), (std::vector<int64_t>{80, 120, 3}));
  };
  AugmentationPlan plan({120, 80}, 1, {});
  plan.change_frames(change);
  plan.resize(20);
  EXPECT_EQ(plan.first().reduction(), 1) << "else the step would see another size than it planned";
  plan.first().frame(cv::Mat(80, 120, CV_8UC3, cv::Scalar(1, 2, 3)), 0);
  AugmentationPlan later({120, 80}, 1, {});
  later.resize(20);
  later.change_frames([](at::Tensor, int64_t) {});
  EXPECT_EQ(later.first().reduction(), 4) << "after a resize nothing is lost";
}

TEST(AugmentationPlan, TellsAStepTheFramesPlaceInTheClip) {
  AugmentationPlan plan({8, 6}, 3, {});
  std::vector<std::pair<int64_t, float>> before, after;  // place and red
  plan.change_frames(
      [&](at::Tensor frame, int64_t t) { before.emplace_back(t, frame[0][0][0].item<float>()); });
  plan.reverse_time();
  plan.change_frames(
      [&](at::Tensor frame, int64_t t) { after.emplace_back(t, frame[0][0][0].item<float>()); });
  ClipImages clip = plain_clip(3, {8, 6});
  plan.apply(clip);
  std::sort(after.begin(), after.end());
  EXPECT_EQ(before, (std::vector<std::pair<int64_t, float>>{{0, 0}, {1, 10}, {2, 20}}));
  EXPECT_EQ(after, (std::vector<std::pair<int64_t, float>>{{0, 20}, {1, 10}, {2, 0}}));
  EXPECT_FALSE(clip.masks[0][2].empty());
}

TEST(AugmentationPlan, RefusesOperationsThatDoNotFit) {
  AugmentationPlan plan({30, 20}, 3, {});
  plan.set_step("mine");
  const auto message = [&](const std::function<void()>& operation) {
    return message_of<PluginError>(operation);
  };
  expect_parts(message([&] { plan.crop(10, 0, 21, 20); }), {"'mine'", "crop", "30x20", "21x20"});
  expect_parts(message([&] { plan.crop(0, 0, 0, 20); }), {"'mine'", "crop", "0x20"});
  expect_parts(message([&] { plan.resize(0); }), {"'mine'", "resize"});
  expect_parts(message([&] { plan.change_colours({{}, {}}); }), {"'mine'", "3 frames", "got 2"});
  expect_parts(message([&] { plan.shuffle_channels({0, 1, 3}); }), {"'mine'", "got 3"});
  expect_parts(message([&] { plan.change_clip(0, 5, {}); }), {"'mine'", "change_clip", "5x0"});
  EXPECT_EQ(plan.size(), cv::Size(30, 20)) << "what was refused is not done";
}

TEST(AugmentationPlan, RefusesAClipOfAnotherShapeThanPlanned) {
  const auto message = [&](const std::function<ClipPixels(ClipPixels)>& change) {
    AugmentationPlan plan({30, 20}, 2, {});
    plan.set_step("mine");
    plan.change_clip(20, 30, change);
    ClipImages clip = plain_clip(2, {30, 20});
    return message_of<Error>([&] { plan.apply(clip); });
  };
  expect_parts(message([](ClipPixels clip) {
                 clip.frames = clip.frames.narrow(2, 0, 29);
                 return clip;
               }),
               {"'mine'", "frames", "[T,H,W,3]", "29"});
  expect_parts(message([](ClipPixels clip) {
                 clip.masks = clip.masks.narrow(1, 0, 1);
                 return clip;
               }),
               {"'mine'", "masks", "[N,T,H,W]"});
  expect_parts(message([](ClipPixels clip) {
                 clip.masks = clip.masks.to(at::kByte);
                 return clip;
               }),
               {"'mine'", "masks", "Bool"});
}

/// Steps that break the contract in one way each.
struct Broken : Augmentation {
  explicit Broken(int fault) : fault_(fault) {}
  void plan(ClipPlan& clip, Random&) const override {
    if (fault_ == 0)
      clip.change_frames([this](at::Tensor frame, int64_t) { frame.fill_(++calls_ % 100); });
    if (fault_ == 1)
      clip.change_clip(clip.height(), clip.width() + 1, [](ClipPixels pixels) { return pixels; });
    if (fault_ == 2) clip.crop(0, 0, clip.width() + 1, 1);
  }
  int fault_;
  mutable int calls_ = 0;
};

struct BrokenSampler : Sampler {
  explicit BrokenSampler(int fault) : fault_(fault) {}
  std::vector<int64_t> draw(const SampledVideo& video, int64_t, Random&) const override {
    if (fault_ == 0) return {0};
    if (fault_ == 1) return {0, video.length};
    return {0, ++calls_ % video.length};
  }
  int fault_;
  mutable int64_t calls_ = 0;
};

TEST(ContractOfClips, FindsStepsAndSamplersThatBreakIt) {
  const auto step = [](int fault) {
    return message_of<Error>([&] { contract::run_augmentation(Broken(fault), 3); });
  };
  expect_parts(step(0), {"same result for the same random numbers"});
  expect_parts(step(1), {"frames", "[T,H,W,3]"});
  expect_parts(step(2), {"crop", "rectangle within"});
  const auto sampler = [](int fault) {
    return message_of<Error>([&] { contract::run_sampler(BrokenSampler(fault), 2); });
  };
  expect_parts(sampler(0), {"clip_length() frames, 2"});
  expect_parts(sampler(1), {"frames of 0 to 0 in a video of 1 frames"});
  expect_parts(sampler(2), {"same clip for the same random numbers"});
}

}  // namespace
}  // namespace tessera::data
