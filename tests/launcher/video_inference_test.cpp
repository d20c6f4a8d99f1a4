#include "launcher/inference/video_inference.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace tessera {
namespace {

/// Frames with a bright square that moves right, `length` of them.
class MovingSquare final : public data::FrameSource {
 public:
  at::Tensor read(int64_t index) override {
    at::Tensor frame = at::zeros({64, 96, 3}, at::kByte);
    frame.narrow(0, 20, 16).narrow(1, 4 * index, 16).fill_(255);
    return frame;
  }
};

data::InferenceVideo video_of(int64_t length) {
  return {1, "square", 64, 96, length, std::make_shared<MovingSquare>()};
}

class VideoInferenceTest : public testing::Test {
 protected:
  VideoInferenceTest() : registry_(Registry::default_search_paths()) {}

  std::vector<VideoTrack> run(int64_t length, const std::vector<std::string>& overrides = {}) {
    const Experiment experiment =
        load_experiment(TESSERA_SOURCE_DIR "/experiments/smoke/vistr.toml", overrides, registry_);
    at::manual_seed(2);
    VisModel model(experiment.model, experiment.clip_facts());
    return VideoInference(model, experiment, at::kCPU).run(video_of(length));
  }

  Registry registry_;
};

// The model's queries are learnt for clips of five frames; videos need not be.
TEST_F(VideoInferenceTest, TakesVideosShorterAndLongerThanTheClip) {
  for (const int64_t length : {1, 4, 5, 6, 12}) {
    const auto tracks = run(length);
    ASSERT_FALSE(tracks.empty()) << length;
    for (const VideoTrack& track : tracks) {
      ASSERT_EQ(static_cast<int64_t>(track.segmentations.size()), length);
      EXPECT_LT(track.category, 5);
      for (const auto& mask : track.segmentations) {
        if (!mask) continue;
        EXPECT_EQ(mask->height, 64);
        EXPECT_EQ(mask->width, 96);
      }
    }
    for (size_t i = 1; i < tracks.size(); ++i) EXPECT_GE(tracks[i - 1].score, tracks[i].score);
  }
}

// Seven frames in windows of five: the second window overlaps by three and carries tracks on.
TEST_F(VideoInferenceTest, JoinsTracksOfOverlappingWindows) {
  const auto tracks = run(7, {"inference.overlap=3"});
  size_t through = 0;
  for (const VideoTrack& track : tracks)
    through += track.segmentations.front() && track.segmentations.back() ? 1 : 0;
  EXPECT_GT(through, 0u);
  const auto apart = run(7, {"inference.overlap=3", "inference.linker.minimum_iou=1.0"});
  EXPECT_GT(apart.size(), tracks.size());
}

TEST_F(VideoInferenceTest, RefusesWindowsThatTheModelCannotTake) {
  EXPECT_THROW(run(5, {"inference.window=4"}), ConfigError);
  EXPECT_THROW(run(5, {"inference.overlap=5"}), ConfigError);
}

TEST_F(VideoInferenceTest, KeepsTheBestPairsWithTopK) {
  EXPECT_LE(run(5, {"inference.select=top_k", "inference.top_k=3"}).size(), 3u);
}

}  // namespace
}  // namespace tessera
