#include "launcher/inference/window_frames.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "launcher/data/frame_tensor.h"

namespace tessera {
namespace {

/// Frames that get brighter and whose contrast grows: their statistics differ.
class Brightening : public data::FrameSource {
 public:
  at::Tensor read(int64_t index) override {
    ++reads_;
    at::manual_seed(7 + index);
    return (at::rand({24, 32, 3}) * (20 + 20 * index) + 10 * index).to(at::kByte);
  }
  int64_t reads() const { return reads_; }

 private:
  int64_t reads_ = 0;
};

class WindowFramesTest : public testing::Test {
 protected:
  WindowFramesTest() {
    data_.normalise.by = "clip";
    inference_.short_side = 12;
    inference_.max_side = 100;
  }
  WindowFrames window(int64_t start, int64_t length, int64_t model_frames) {
    // The window refers to its options.
    options_ = {inference_, data::resizing_of(data_), data_.normalise, 1};
    return {video_, {start, length, model_frames}, options_};
  }
  /// What training makes of a clip of these frames.
  at::Tensor trained(const std::vector<int64_t>& clip) const {
    std::vector<cv::Mat> frames;
    for (const int64_t index : clip)
      frames.push_back(
          data::resize_to_sides(source_->read(index), 12, 100, data::resizing_of(data_)));
    return data::normalised_frames(frames, data_.normalise);
  }

  std::shared_ptr<Brightening> source_ = std::make_shared<Brightening>();
  data::InferenceVideo video_{
      .id = 1, .name = "v", .height = 24, .width = 32, .length = 7, .source = source_};
  DataOptions data_;
  InferenceOptions inference_;
  VideoOptions options_;
};

TEST_F(WindowFramesTest, StatisticsAreThoseOfTheWholeWindowWhateverTheParts) {
  for (const std::string resize : {"fast", "antialiased"}) {
    data_.resize = resize;
    const WindowFrames frames = window(1, 5, 5);
    const at::Tensor expected = trained({1, 2, 3, 4, 5});
    EXPECT_TRUE(at::equal(frames.read(0, 5), expected));
    EXPECT_TRUE(
        at::equal(at::cat({frames.read(0, 2), frames.read(2, 2), frames.read(4, 1)}), expected));
    EXPECT_NEAR(expected.mean().item<double>(), 0, 1e-5);
    EXPECT_GT(std::abs(frames.read(0, 1).mean().item<double>()), 0.3) << "a part of it alone";
  }
}

/// A training clip of a short video goes on from its start; its pixels count as often as they come.
TEST_F(WindowFramesTest, FillingCountsAsInTraining) {
  const WindowFrames frames = window(0, 3, 5);
  EXPECT_TRUE(at::equal(frames.read(0, 3), trained({0, 1, 2, 0, 1}).narrow(0, 0, 3)));
}

TEST_F(WindowFramesTest, ConstantsNeedNoSecondLook) {
  data_.normalise.by = "constants";
  const WindowFrames frames = window(0, 6, 6);
  EXPECT_EQ(source_->reads(), 0);
  frames.read(0, 2);
  EXPECT_EQ(source_->reads(), 2);
  EXPECT_TRUE(at::equal(frames.read(2, 3), trained({2, 3, 4})));
}

}  // namespace
}  // namespace tessera
