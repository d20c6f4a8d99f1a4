#include "launcher/inference/select_tracks.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(SelectSlots, TakesTheMeanOfFrameMaximaAndTheMajorityClass) {
  // One query, three frames: classes 2, 1, 1.
  const at::Tensor p =
      at::tensor({0.1, 0.2, 0.7, 0.0, 0.6, 0.4, 0.1, 0.5, 0.4}, at::kDouble).view({3, 1, 3});
  const SelectedTracks tracks = select_slots(sum_frames(p, p));
  EXPECT_EQ(tracks.category[0].item<int64_t>(), 1);
  EXPECT_NEAR(tracks.score[0].item<double>(), (0.7 + 0.6 + 0.5) / 3, 1e-12);
}

TEST(SelectSlots, PrefersTheSmallestClassOnTies) {
  const at::Tensor p = at::tensor({0.1, 0.2, 0.7, 0.5, 0.4, 0.1}, at::kDouble).view({2, 1, 3});
  EXPECT_EQ(select_slots(sum_frames(p, p)).category[0].item<int64_t>(), 0);
}

TEST(SelectTopK, TakesTheBestPairsOfQueryAndClass) {
  const at::Tensor p = at::tensor({0.9, 0.8, 0.1, 0.85}, at::kDouble).view({2, 2});
  const SelectedTracks tracks = select_top_k(p, 3);
  EXPECT_TRUE(at::equal(tracks.rows, at::tensor({int64_t{0}, int64_t{1}, int64_t{0}})));
  EXPECT_TRUE(at::equal(tracks.category, at::tensor({int64_t{0}, int64_t{1}, int64_t{1}})));
  EXPECT_EQ(select_top_k(p, 100).rows.size(0), 4);
}

TEST(SelectAbove, TakesEveryPairOfQueryAndClass) {
  const at::Tensor p = at::tensor({0.9, 0.2, 0.1, 0.85}, at::kDouble).view({2, 2});
  const SelectedTracks tracks = select_above(p, 0.2);
  EXPECT_TRUE(at::equal(tracks.rows, at::tensor({int64_t{0}, int64_t{1}})));
  EXPECT_TRUE(at::equal(tracks.category, at::tensor({int64_t{0}, int64_t{1}})));
  EXPECT_NEAR(tracks.score[1].item<double>(), 0.85, 1e-12);
  EXPECT_EQ(select_above(p, 0.95).rows.size(0), 0);
}

TEST(ResizeMaskLogits, CutsThePaddingBeforeTheLastResize) {
  at::Tensor logits = at::zeros({1, 1, 4, 6});
  logits.narrow(3, 0, 4).fill_(1.0);  // columns 4 and 5 are padding and must not bleed in
  const at::Tensor out = resize_mask_logits(logits, {8, 12, 8, 7, 16, 14});
  EXPECT_EQ(out.sizes(), at::IntArrayRef({1, 1, 16, 14}));
  EXPECT_GT(out.min().item<double>(), 0.7);
  EXPECT_NEAR(out[0][0][5][5].item<double>(), 1.0, 1e-6);
}

}  // namespace
}  // namespace tessera
