#include "launcher/data/clip_targets.h"

#include <opencv2/imgproc.hpp>

#include "launcher/data/frame_tensor.h"
#include "tests/data/fixture.h"
#include "tests/data/prepared_frames.h"

namespace tessera::data {
namespace {

using test_support::expect_parts;
using test_support::message_of;
using test_support::prepared_frames;

cv::Mat mask_with(const cv::Rect& region, int height = 10, int width = 20) {
  cv::Mat mask(height, width, CV_8UC1, cv::Scalar(0));
  if (region.area() > 0) cv::rectangle(mask, region, 1, cv::FILLED);
  return mask;
}

TEST(ClipTargets, BoxesAreTheBoundsOfTheMasks) {
  const ClipTargets targets =
      make_targets({{mask_with({4, 2, 6, 5}), mask_with({0, 0, 20, 10})}}, {3}, 2, {20, 10}, 1);
  EXPECT_EQ(targets.labels.item<int64_t>(), 3);
  const at::Tensor expected =
      at::tensor({7.0F / 20, 4.5F / 10, 6.0F / 20, 0.5F, 0.5F, 0.5F, 1.0F, 1.0F}).view({1, 2, 4});
  EXPECT_TRUE(at::allclose(targets.boxes, expected)) << targets.boxes;
  EXPECT_EQ(targets.masks[0][0].sum().item<int64_t>(), 30);
  EXPECT_TRUE(targets.masks[0][0][2][4].item<bool>());
  EXPECT_FALSE(targets.masks[0][0][2][3].item<bool>());
}

TEST(ClipTargets, EmptiedInstancesAreNotValid) {
  const ClipTargets targets =
      make_targets({{mask_with({4, 2, 6, 5}), mask_with({}), cv::Mat()}}, {3}, 3, {20, 10}, 1);
  EXPECT_TRUE(at::equal(targets.valid, test_support::valid_row({true, false, false})));
  EXPECT_EQ(targets.boxes[0][1].abs().sum().item<float>(), 0);
  EXPECT_EQ(targets.masks[0].slice(0, 1).sum().item<int64_t>(), 0);
}

TEST(ClipTargets, TooFewPixelsCountAsAbsent) {
  const ClipTargets targets =
      make_targets({{mask_with({0, 0, 2, 2}), mask_with({0, 0, 5, 1})}}, {0}, 2, {20, 10}, 5);
  EXPECT_TRUE(at::equal(targets.valid, test_support::valid_row({false, true})));
  EXPECT_EQ(targets.masks[0][0].sum().item<int64_t>(), 0);
}

TEST(ClipTargets, InstancesOfNoFrameAreLeftOut) {
  const ClipTargets targets = make_targets(
      {{cv::Mat()}, {mask_with({1, 1, 2, 2})}, {mask_with({})}}, {7, 8, 9}, 1, {20, 10}, 1);
  EXPECT_EQ(targets.num_instances(), 1);
  EXPECT_EQ(targets.labels.item<int64_t>(), 8);
  EXPECT_EQ(targets.masks.sum().item<int64_t>(), 4);
  const ClipTargets none = make_targets({}, {}, 2, {20, 10}, 1);
  EXPECT_EQ(none.masks.sizes(), (std::vector<int64_t>{0, 2, 10, 20}));
  EXPECT_EQ(none.boxes.sizes(), (std::vector<int64_t>{0, 2, 4}));
}

TEST(ClipTargets, PaddingKeepsTheMaskInPlace) {
  ClipTargets targets = make_targets({{mask_with({19, 9, 1, 1})}}, {0}, 1, {20, 10}, 1);
  pad_masks(targets, 16, 32);
  EXPECT_EQ(targets.masks.sizes(), (std::vector<int64_t>{1, 1, 16, 32}));
  EXPECT_TRUE(targets.masks[0][0][9][19].item<bool>());
  EXPECT_EQ(targets.masks.sum().item<int64_t>(), 1);
  EXPECT_EQ(targets.height, 10);
}

TEST(PrepareFrames, NormalisesInOrderOfTheChannels) {
  at::Tensor frames = at::zeros({2, 4, 6, 3}, at::kByte);
  frames.select(3, 0).fill_(255);
  frames.select(3, 1).fill_(51);
  const NormaliseOptions normalise{.mean = {0.5, 0.1, 0.25}, .deviation = {0.5, 0.2, 0.25}};
  const at::Tensor prepared = prepared_frames(frames, 4, 0, normalise);
  EXPECT_EQ(prepared.sizes(), (std::vector<int64_t>{2, 3, 4, 6}));
  EXPECT_TRUE(at::allclose(prepared.select(1, 0), at::ones({2, 4, 6})));
  EXPECT_TRUE(at::allclose(prepared.select(1, 1), at::full({2, 4, 6}, 0.5)));
  EXPECT_TRUE(at::allclose(prepared.select(1, 2), at::full({2, 4, 6}, -1.0)));
}

TEST(PrepareFrames, StandardisesEveryChannelOverTheClip) {
  at::manual_seed(1);
  const at::Tensor frames = at::randint(0, 200, {3, 8, 10, 3}).to(at::kByte);
  frames.select(3, 2).fill_(70);  // no deviation: must stay finite
  NormaliseOptions normalise;
  normalise.by = "clip";
  const at::Tensor prepared = prepared_frames(frames, 8, 0, normalise);
  for (int64_t c = 0; c < 2; ++c) {
    EXPECT_NEAR(prepared.select(1, c).mean().item<double>(), 0, 1e-5);
    EXPECT_NEAR(prepared.select(1, c).square().mean().item<double>(), 1, 1e-4);
  }
  EXPECT_EQ(prepared.select(1, 2).abs().max().item<double>(), 0);
  // Another cast and contrast of the same clip give the same input.
  const at::Tensor brighter = prepared_frames(frames + 50, 8, 0, normalise);
  EXPECT_TRUE(at::allclose(brighter, prepared, 1e-4, 1e-4));
}

/// The resize is torch's bilinear one with align_corners = false and without antialiasing.
TEST(PrepareFrames, ResizesAsTorchDoes) {
  const at::Tensor frames = at::randint(0, 256, {2, 24, 40, 3}).to(at::kByte);
  const NormaliseOptions plain{.mean = {0, 0, 0}, .deviation = {1, 1, 1}};
  for (const int64_t side : {15, 24, 37}) {
    const at::Tensor prepared = prepared_frames(frames, side, 0, plain);
    const at::Tensor expected = at::upsample_bilinear2d(
        frames.permute({0, 3, 1, 2}).to(at::kFloat) / 255, prepared.sizes().slice(2), false);
    EXPECT_TRUE(at::allclose(prepared, expected, 1e-5, 1e-5)) << side;
  }
}

TEST(PrepareFrames, RefusesOtherShapes) {
  EXPECT_THROW(prepared_frames(at::zeros({2, 3, 4, 6}, at::kByte), 4, 0, {}), ShapeError);
  EXPECT_THROW(prepared_frames(at::zeros({2, 4, 6, 3}), 4, 0, {}), ShapeError);
  EXPECT_THROW(prepared_frames(at::zeros({0, 4, 6, 3}, at::kByte), 4, 0, {}), ShapeError);
}

TEST(BatchFrames, PadsWithZerosAtTheRightAndTheBottom) {
  const ClipBatch batch =
      batch_frames({at::ones({2, 3, 5, 9}), at::ones({2, 3, 8, 4})}, {ClipMeta{}, ClipMeta{}}, 4);
  EXPECT_EQ(batch.frames.sizes(), (std::vector<int64_t>{2, 2, 3, 8, 12}));
  EXPECT_EQ(batch.frames[0].sum().item<float>(), 2 * 3 * 5 * 9);
  EXPECT_EQ(batch.frames[1].sum().item<float>(), 2 * 3 * 8 * 4);
  EXPECT_TRUE(at::equal(batch.padding_mask, batch.frames.select(2, 0) == 0));
}

TEST(BatchFrames, RefusesClipsOfOtherLengths) {
  ClipMeta first;
  first.video_name = "one";
  ClipMeta second;
  second.video_name = "two";
  expect_parts(message_of<DataError>([&] {
                 batch_frames({at::ones({2, 3, 4, 4}), at::ones({3, 3, 4, 4})}, {first, second}, 1);
               }),
               {"'one'", "2 frames", "'two'", "3"});
}

}  // namespace
}  // namespace tessera::data
