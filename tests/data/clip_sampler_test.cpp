#include "launcher/data/clip_sampler.h"

#include <algorithm>
#include <set>

#include "tests/data/augment_steps.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

using test_support::sampling;

using Frames = std::vector<int64_t>;

ClipSampler sampler_of(const SamplingOptions& options, int64_t num_frames,
                       const std::vector<int64_t>& lengths) {
  std::vector<SampledVideo> videos;
  for (const int64_t length : lengths)
    videos.push_back({length, at::zeros({0, length}, at::kBool)});
  return {options, {num_frames, 1}, videos};
}

Frames frames_of(const SamplingOptions& options, int64_t num_frames, int64_t length, int64_t sample,
                 uint64_t seed = 1) {
  Random random({seed});
  return sampler_of(options, num_frames, {length}).draw(sample, random).frames;
}

TEST(ClipSampler, WindowEndsAtItsFrameAndWrapsToTheEnd) {
  const SamplingOptions options;
  EXPECT_EQ(frames_of(options, 3, 10, 5), (Frames{3, 4, 5}));
  EXPECT_EQ(frames_of(options, 3, 10, 1), (Frames{9, 0, 1}));
  EXPECT_EQ(frames_of(options, 5, 3, 0), (Frames{2, 0, 1, 2, 0}));
  EXPECT_EQ(frames_of(sampling("window_ending_at", "stride = 2"), 3, 10, 1), (Frames{7, 9, 1}));
}

/// VisTR's code: file_names[frame - (k % length)] for k = T-1 .. 0, negative from the end.
TEST(ClipSampler, WindowIsThatOfTheReference) {
  for (const int64_t length : {1, 2, 7, 36, 50})
    for (int64_t frame = 0; frame < length; ++frame) {
      Frames expected;
      for (int64_t k = 35; k >= 0; --k) {
        const int64_t index = frame - k % length;
        expected.push_back(index < 0 ? index + length : index);
      }
      EXPECT_EQ(frames_of({}, 36, length, frame), expected) << length << " " << frame;
    }
}

TEST(ClipSampler, HasOneSampleForEachFrameOrVideo) {
  EXPECT_EQ(sampler_of({}, 4, {3, 5}).size(), 8);
  EXPECT_EQ(sampler_of(sampling("window_ending_at", "every = 2"), 4, {3, 5}).size(), 5);
  EXPECT_EQ(sampler_of(sampling("uniform_window"), 4, {3, 5}).size(), 2);
  const ClipSampler sampler = sampler_of(sampling("window_ending_at", "every = 2"), 1, {3, 5});
  Random random({1});
  EXPECT_EQ(sampler.draw(1, random).frames, Frames{2});
  EXPECT_EQ(sampler.draw(2, random).video, 1U);
  EXPECT_EQ(sampler.draw(4, random).frames, Frames{4});
}

TEST(ClipSampler, UniformWindowReachesEveryPlace) {
  const SamplingOptions options = sampling("uniform_window", "stride = 2");
  std::set<Frames> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) seen.insert(frames_of(options, 3, 7, 0, seed));
  EXPECT_EQ(seen, (std::set<Frames>{{0, 2, 4}, {1, 3, 5}, {2, 4, 6}}));
  for (const int64_t frame : frames_of(options, 9, 4, 0)) EXPECT_LT(frame, 4);
}

TEST(ClipSampler, AroundFrameStaysWithinReachInOrder) {
  const SamplingOptions options = sampling("around_frame", "reach = 3");
  std::set<int64_t> seen;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Frames frames = frames_of(options, 2, 30, 0, seed);
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_LT(frames[0], frames[1]);
    EXPECT_LE(frames[1] - frames[0], 3);
    seen.insert(frames.begin(), frames.end());
  }
  EXPECT_EQ(seen.size(), 30U);
  EXPECT_EQ(frames_of(options, 3, 1, 0), (Frames{0, 0, 0}));
}

/// From an implementation of SplitMix64 in Python.
TEST(ClipSampler, DrawsComeInTheOrderOfVersion01) {
  const SamplingOptions around = sampling("around_frame", "reach = 3");
  const SamplingOptions window = sampling("uniform_window", "stride = 2");
  const std::vector<Frames> around_of_seed{{2, 2, 3}, {13, 15, 17}, {2, 5, 6}, {5, 7, 10}};
  const std::vector<Frames> window_of_seed{{7, 9, 11}, {3, 5, 7}, {5, 7, 9}, {9, 11, 13}};
  for (uint64_t seed = 0; seed < 4; ++seed) {
    EXPECT_EQ(frames_of(around, 3, 30, 0, seed), around_of_seed[seed]);
    EXPECT_EQ(frames_of(window, 3, 30, 0, seed), window_of_seed[seed]);
  }
}

TEST(ClipSampler, NearAndFarHasNeighboursAndFramesOutside) {
  const SamplingOptions options = sampling("near_and_far", "reach = 3");
  EXPECT_EQ(sampler_of(options, 5, {30, 7}).size(), 37);
  std::set<int64_t> far;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const Frames frames = frames_of(options, 5, 30, 12, seed);
    ASSERT_EQ(frames.size(), 5U);
    const auto middle = std::find(frames.begin(), frames.end(), 12);
    ASSERT_NE(middle, frames.end());
    ASSERT_NE(middle, frames.begin());
    ASSERT_NE(middle + 1, frames.end());
    EXPECT_LE(12 - *(middle - 1), 3);
    EXPECT_LE(*(middle + 1) - 12, 3);
    for (const int64_t frame : frames)
      if (std::abs(frame - 12) > 3) far.insert(frame);
  }
  EXPECT_EQ(far.size(), 30U - 7U);
  EXPECT_EQ(frames_of(options, 5, 1, 0), (Frames{0, 0, 0, 0, 0}));
  EXPECT_EQ(frames_of(options, 9, 2, 0), (Frames{0, 0, 0, 0, 0, 1, 1, 1, 1}));
  const Frames first = frames_of(options, 3, 30, 0);
  EXPECT_EQ(first[0], 0);
  EXPECT_EQ(first[1], 0);  // the frame before it stays within the video
}

/// SeqFormer's code takes the others from the frames before the first neighbour and from the last
/// neighbour on: of the three frames drawn so far only the last one may come twice.
TEST(ClipSampler, FarFramesMayBeTheLastNeighbour) {
  const SamplingOptions options = sampling("near_and_far", "reach = 1");
  int twice = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const Frames frames = frames_of(options, 5, 12, 5, seed);
    const auto count = [&](int64_t frame) {
      return std::count(frames.begin(), frames.end(), frame);
    };
    EXPECT_EQ(count(4), 1);
    EXPECT_EQ(count(5), 1);
    twice += count(6) == 2;
  }
  // 2 of the 10 frames 0..3 and 6..11 are drawn.
  EXPECT_NEAR(twice / 400.0, 0.2, 0.06);
}

/// If the frames outside are no more than are wanted, SeqFormer's code draws from all frames, each
/// once; if the video has fewer, all of them and a few of them again.
TEST(ClipSampler, ShortVideosGiveFramesOfAllPlaces) {
  const SamplingOptions options = sampling("near_and_far", "reach = 1");
  bool middle_again = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Frames all = frames_of(options, 7, 6, 2, seed);  // 1, 2, 3 and four of 0..5
    for (int64_t frame = 0; frame < 6; ++frame)
      EXPECT_LE(std::count(all.begin(), all.end(), frame), frame >= 1 && frame <= 3 ? 2 : 1);
    middle_again = middle_again || std::count(all.begin(), all.end(), 2) == 2;
    const Frames again = frames_of(options, 8, 3, 1, seed);  // 0, 1, 2, then all, then two of them
    for (int64_t frame = 0; frame < 3; ++frame) {
      const auto count = std::count(again.begin(), again.end(), frame);
      EXPECT_TRUE(count == 2 || count == 3) << count;
    }
  }
  EXPECT_TRUE(middle_again);
}

TEST(ClipSampler, WholeVideoTakesAllFrames) {
  EXPECT_EQ(frames_of(sampling("whole_video"), 2, 4, 0), (Frames{0, 1, 2, 3}));
  EXPECT_EQ(frames_of(sampling("whole_video", "stride = 2"), 2, 5, 0), (Frames{0, 2, 4}));
}

}  // namespace
}  // namespace tessera::data
