#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/interfaces/linker.h"
#include "tests/support/make_plugin.h"

namespace tessera {
namespace {

using test_support::make_plugin;

/// Rows of 2 frames of 1 x 4 pixels; in: the pixels that are certainly in, frame by frame.
WindowTracks window(int64_t first_frame, const std::vector<std::vector<std::vector<int>>>& rows) {
  const auto count = static_cast<int64_t>(rows.size());
  WindowTracks tracks;
  tracks.first_frame = first_frame;
  tracks.class_probabilities = at::ones({count, 1});
  tracks.mask_logits = at::full({count, 2, 1, 4}, -50.0);
  for (int64_t row = 0; row < count; ++row)
    for (int64_t t = 0; t < 2; ++t)
      for (const int pixel : rows[static_cast<size_t>(row)][static_cast<size_t>(t)])
        tracks.mask_logits[row][t][0][pixel] = 50.0;
  return tracks;
}

TEST(SoftMaskIou, ComparesSharedFramesOnly) {
  const auto linker = make_plugin<Linker>("soft_mask_iou", "");
  // Frames 0, 1 and 1, 2: frame 1 is shared. Row 0 has two of its three pixels there.
  const WindowTracks before = window(0, {{{0, 1, 2, 3}, {0, 1, 2}}});
  const WindowTracks next = window(1, {{{0, 1}, {3}}, {{3}, {0, 1, 2}}});
  const at::Tensor cost = linker->cost(before, next, 1);
  EXPECT_NEAR(cost[0][0].item<double>(), 1 - 2.0 / 3, 1e-5);
  EXPECT_NEAR(cost[0][1].item<double>(), 1, 1e-5);
  EXPECT_EQ(linker->link(before, next, 1)[0].item<int64_t>(), 0);
  EXPECT_EQ(linker->needed_overlap(), 1);
  EXPECT_THROW(linker->link(before, next, 0), RuntimeError);
}

TEST(SoftMaskIou, IsAMeanOverTheWindowsThatHoldTheTrack) {
  const auto linker = make_plugin<Linker>("soft_mask_iou", "");
  TrackHistory history;
  history.num_tracks = 3;
  // Track 1 is in both windows, track 0 in the first alone; the first shares nothing with frame 2.
  history.windows = {{window(0, {{{}, {0}}, {{}, {0, 1}}}), at::tensor({0, 1}, at::kLong)},
                     {window(1, {{{0}, {}}, {{2}, {}}}), at::tensor({1, 2}, at::kLong)}};
  const WindowTracks next = window(1, {{{0, 1}, {}}});
  const at::Tensor iou = 1 - linker->history_cost(history, next);
  EXPECT_NEAR(iou[0][0].item<double>(), 0.5, 1e-5);
  EXPECT_NEAR(iou[1][0].item<double>(), (1.0 + 0.5) / 2, 1e-5);
  EXPECT_NEAR(iou[2][0].item<double>(), 0, 1e-5);
  const at::Tensor linked = linker->link(history, next);
  EXPECT_TRUE(at::equal(linked, at::tensor({-1, 0, -1}, at::kLong)));
}

TEST(SoftMaskIou, JoinsOnlyAboveTheLeastIou) {
  const auto strict = make_plugin<Linker>("soft_mask_iou", "minimum_iou = 0.5");
  const WindowTracks before = window(0, {{{}, {0, 1}}});
  EXPECT_EQ(strict->link(before, window(1, {{{0}, {}}}), 1)[0].item<int64_t>(), -1);
  EXPECT_EQ(strict->link(before, window(1, {{{0, 1}, {}}}), 1)[0].item<int64_t>(), 0);
  // Not even with 0 does a pair without any overlap go together.
  const auto loose = make_plugin<Linker>("soft_mask_iou", "minimum_iou = 0.0");
  EXPECT_EQ(loose->link(before, window(1, {{{3}, {}}}), 1)[0].item<int64_t>(), -1);
}

}  // namespace
}  // namespace tessera
