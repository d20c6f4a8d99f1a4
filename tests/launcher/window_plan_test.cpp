#include "launcher/inference/window_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace tessera {
namespace {

class Comparing final : public Tracker {
 public:
  explicit Comparing(int64_t needed) : needed_(needed) {}
  int64_t needed_overlap() const override { return needed_; }
  std::unique_ptr<VideoTracker> begin() const override { return nullptr; }

 private:
  int64_t needed_;
};

using Spans = std::vector<std::pair<int64_t, int64_t>>;

Spans spans(const std::vector<Window>& windows) {
  Spans found;
  for (const Window& window : windows) found.emplace_back(window.start, window.length);
  return found;
}

WindowNeeds in_order() {
  WindowNeeds needs;
  needs.in_order = true;
  return needs;
}

TEST(WindowsInOrder, HoldEveryFrameOnce) {
  EXPECT_EQ(spans(windows_in_order(7, 3, 1)), (Spans{{0, 3}, {3, 3}, {6, 1}}));
  EXPECT_EQ(spans(windows_in_order(6, 3, 1)), (Spans{{0, 3}, {3, 3}}));
  EXPECT_EQ(spans(windows_in_order(2, 3, 1)), (Spans{{0, 2}}));
  EXPECT_EQ(spans(windows_in_order(7, 0, 1)), (Spans{{0, 7}}));
  // Pieces of three frames; the rest is a shorter piece.
  EXPECT_EQ(spans(windows_in_order(11, 6, 3)), (Spans{{0, 6}, {6, 3}, {9, 2}}));
  EXPECT_EQ(spans(windows_in_order(7, 0, 3)), (Spans{{0, 6}, {6, 1}}));
  // The other kind moves the last window back.
  EXPECT_EQ(spans(windows_of(7, 3, 0)), (Spans{{0, 3}, {3, 3}, {4, 3}}));
}

TEST(WindowPlan, KeepsTheOrderForAState) {
  InferenceOptions options;
  options.window.frames = 3;
  const Comparing tracker(0);
  EXPECT_EQ(spans(WindowPlan(options, in_order(), tracker).of(7)), (Spans{{0, 3}, {3, 3}, {6, 1}}));
  EXPECT_EQ(spans(WindowPlan(options, {}, tracker).of(7)), (Spans{{0, 3}, {3, 3}, {4, 3}}));
  options.overlap = 1;
  EXPECT_THROW(WindowPlan(options, in_order(), tracker), ConfigError);
  options.overlap = 0;
  WindowNeeds fixed = in_order();
  fixed.fixed_frames = 3;
  EXPECT_THROW(WindowPlan(options, fixed, tracker), ConfigError);
  WindowNeeds pieces = in_order();
  pieces.piece_frames = 2;
  EXPECT_THROW(WindowPlan(options, pieces, tracker), ConfigError);
}

TEST(WindowPlan, GivesATrackerTheFramesThatItCompares) {
  InferenceOptions options;
  options.window.frames = 3;
  options.overlap = 1;
  EXPECT_EQ(WindowPlan(options, {}, Comparing(1)).of(7).size(), 3u);
  const WindowPlan two(options, {}, Comparing(2));
  EXPECT_EQ(two.of(3).size(), 1u);
  EXPECT_THROW(two.of(7), ConfigError);
  // One window of a stage that predicts pieces is several predictions.
  options.overlap = 0;
  WindowNeeds pieces = in_order();
  pieces.predicted_frames = 1;
  EXPECT_THROW(WindowPlan(options, pieces, Comparing(1)).of(3), ConfigError);
  EXPECT_EQ(WindowPlan(options, pieces, Comparing(1)).of(1).size(), 1u);
  // A stage that predicts the whole video leaves nothing to compare.
  WindowNeeds video = in_order();
  video.predicts_video = true;
  EXPECT_EQ(WindowPlan(options, video, Comparing(1)).of(7).size(), 3u);
}

}  // namespace
}  // namespace tessera
