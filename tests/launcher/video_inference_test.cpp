#include "launcher/inference/video_inference.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/error.h"
#include "tests/launcher/moving_square.h"

namespace tessera {
namespace {

struct VideoTrack {
  int64_t category = 0;
  double score = 0.0;
  std::vector<std::optional<data::Rle>> segmentations;
};

class VideoInferenceTest : public testing::Test {
 protected:
  VideoInferenceTest() : registry_(Registry::default_search_paths()) {}

  std::vector<VideoTrack> run(int64_t length, const std::vector<std::string>& overrides = {}) {
    return run(test_support::moving_square(length), overrides);
  }
  std::vector<VideoTrack> run(const data::InferenceVideo& video,
                              const std::vector<std::string>& overrides) {
    const Experiment experiment =
        load_experiment(TESSERA_SOURCE_DIR "/experiments/smoke/vistr.toml", overrides, registry_);
    at::manual_seed(2);
    VisModel model(experiment.model, experiment.clip_facts());
    const VideoTracks found =
        VideoInference(model, experiment.video_options(), at::kCPU).run(video);
    std::vector<VideoTrack> tracks;
    for (const auto& track : found.tracks())
      tracks.push_back({track.category, track.score, found.masks(track)});
    return tracks;
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
  EXPECT_THROW(run(6, {"inference.overlap=5"}), ConfigError);  // no step
}

/// What the error says, or "" where there is none.
template <class Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

// The model's clip of five frames is its window: only a longer video has several.
TEST_F(VideoInferenceTest, RefusesSeveralWindowsThatTheLinkerCannotJoin) {
  for (const std::vector<std::string>& linker :
       {std::vector<std::string>{"inference.linker.plugin=mask_iou"},
        std::vector<std::string>{"inference.linker={plugin=\"embedding\", mask_weight=1.0}"}}) {
    std::vector<std::string> apart = linker;
    apart.push_back("inference.overlap=0");
    EXPECT_FALSE(run(5, apart).empty());
    EXPECT_THAT(error_of([&] { run(6, apart); }),
                testing::AllOf(testing::HasSubstr("inference.overlap: expected at least 1"),
                               testing::HasSubstr("6 frames in windows of 5")));
    // Where the window is finite, the experiment itself is refused.
    apart.push_back("inference.window=5");
    EXPECT_THAT(error_of([&] { run(5, apart); }),
                testing::HasSubstr("inference: overlap: expected at least 1"));
  }
  EXPECT_FALSE(run(6, {"inference.overlap=0", "inference.linker={plugin=\"embedding\"}"}).empty());
}

TEST_F(VideoInferenceTest, RefusesAnOverlapAsLongAsTheWindow) {
  EXPECT_THAT(error_of([&] {
                run(1, {"inference.window=5", "inference.overlap=5"});
              }),
              testing::HasSubstr("fewer than the window's 5 frames"));
}

TEST_F(VideoInferenceTest, ChecksTheWindowsOfAllVideosBeforeTheFirst) {
  const Experiment experiment = load_experiment(TESSERA_SOURCE_DIR "/experiments/smoke/vistr.toml",
                                                {"inference.overlap=0"}, registry_);
  VisModel model(experiment.model, experiment.clip_facts());
  const VideoInference inference(model, experiment.video_options(), at::kCPU);
  inference.check_windows({test_support::moving_square(5)});
  EXPECT_THAT(
      error_of([&] {
        inference.check_windows({test_support::moving_square(5), test_support::moving_square(9)});
      }),
      testing::HasSubstr("square: inference.overlap"));
}

TEST_F(VideoInferenceTest, KeepsTheBestPairsWithTopK) {
  EXPECT_LE(run(5, {"inference.select=top_k", "inference.top_k=3"}).size(), 3u);
}

void expect_same(const std::vector<VideoTrack>& a, const std::vector<VideoTrack>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].category, b[i].category);
    EXPECT_NEAR(a[i].score, b[i].score, 1e-5);
    EXPECT_EQ(a[i].segmentations, b[i].segmentations);
  }
}

TEST_F(VideoInferenceTest, GivesTheSameHoweverManyFramesTheBackboneTakes) {
  expect_same(run(5, {"inference.backbone_frames=2"}), run(5, {"inference.backbone_frames=5"}));
}

/// With statistics of the clip, a part of it must not be normalised by its own.
TEST_F(VideoInferenceTest, GivesTheSameHoweverManyFramesAreNormalisedByTheirClip) {
  data::InferenceVideo brightening = test_support::moving_square(5);
  brightening.source = std::make_shared<test_support::MovingSquare>(40, 50);
  const auto with = [&](const std::string& frames) {
    return run(brightening, {"data.normalise.by=clip", "inference.backbone_frames=" + frames});
  };
  const auto parts = with("2");
  ASSERT_FALSE(parts.empty());
  expect_same(parts, with("5"));
}

/// Writes down which frames are read.
class CountedFrames : public data::FrameSource {
 public:
  explicit CountedFrames(std::shared_ptr<data::FrameSource> source) : source_(std::move(source)) {}
  at::Tensor read(int64_t index) override {
    reads_.push_back(index);
    return source_->read(index);
  }
  const std::vector<int64_t>& reads() const { return reads_; }

 private:
  std::shared_ptr<data::FrameSource> source_;
  std::vector<int64_t> reads_;
};

// A video file decodes from its start where it is read backwards: the time would grow with the
// square of its length.
TEST_F(VideoInferenceTest, ReadsEachFrameOnceAndInOrderWhateverTheWindows) {
  using Settings = std::vector<std::string>;
  for (const Settings& settings :
       {Settings{"inference.overlap=3"},
        Settings{"inference.overlap=3", "inference.backbone_frames=2"},
        Settings{"model.decoder.queries=per_clip", "inference.window=3", "inference.overlap=2",
                 "inference.backbone_frames=12"}}) {
    const Experiment experiment =
        load_experiment(TESSERA_SOURCE_DIR "/experiments/smoke/vistr.toml", settings, registry_);
    VisModel model(experiment.model, experiment.clip_facts());
    data::InferenceVideo video = test_support::moving_square(13);
    const auto counted = std::make_shared<CountedFrames>(video.source);
    video.source = counted;
    VideoInference(model, experiment.video_options(), at::kCPU).run(video);
    std::vector<int64_t> each(13);
    std::iota(each.begin(), each.end(), 0);
    EXPECT_EQ(counted->reads(), each) << settings.front();
  }
}

/// Pixels that differ, of all.
double difference(const std::optional<data::Rle>& a, const std::optional<data::Rle>& b) {
  if (!a || !b) return a.has_value() == b.has_value() ? 0 : 1;
  const double pixels = static_cast<double>(a->height) * static_cast<double>(a->width);
  const auto area = [](const data::Rle& mask) { return static_cast<double>(data::area(mask)); };
  return (area(*a) + area(*b) - 2 * static_cast<double>(data::intersection_area(*a, *b))) / pixels;
}

/// The same but for rounding: LibTorch convolves one tiny image by another kernel than several.
void expect_close(const std::vector<VideoTrack>& a, const std::vector<VideoTrack>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].category, b[i].category);
    EXPECT_NEAR(a[i].score, b[i].score, 1e-5);
    ASSERT_EQ(a[i].segmentations.size(), b[i].segmentations.size());
    for (size_t t = 0; t < a[i].segmentations.size(); ++t)
      EXPECT_LE(difference(a[i].segmentations[t], b[i].segmentations[t]), 0.002);
  }
}

// Windows of one frame, and overlapping ones of two: alone, three at a time, and more than there
// are.
TEST_F(VideoInferenceTest, GivesTheSameHoweverManyWindowsAreSeenAtOnce) {
  for (const std::vector<std::string>& windows :
       {std::vector<std::string>{"inference.window=1", "inference.overlap=0",
                                 "inference.linker.plugin=embedding"},
        std::vector<std::string>{"inference.window=2", "inference.overlap=1"}}) {
    auto with = [&](const std::string& frames) {
      std::vector<std::string> settings = {"model.decoder.queries=per_clip",
                                           "inference.backbone_frames=" + frames};
      settings.insert(settings.end(), windows.begin(), windows.end());
      return run(7, settings);
    };
    const auto alone = with("1");
    ASSERT_FALSE(alone.empty());
    expect_close(with("6"), alone);
    expect_close(with("40"), alone);
  }
}

// The best are chosen before their masks are made where the video is one window, after where not.
TEST_F(VideoInferenceTest, GivesTheSameTracksForAWholeVideoAndAWindowAsLongAsIt) {
  const std::vector<std::string> any_length = {"model.decoder.queries=per_clip",
                                               "inference.select=top_k", "inference.top_k=4",
                                               "inference.frame_score_threshold=0.0"};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), any_length.begin(), any_length.end());
    return run(6, more);
  };
  const auto whole = with({"inference.window=all"});
  ASSERT_FALSE(whole.empty());
  EXPECT_LE(whole.size(), 4u);
  expect_same(whole, with({"inference.window=6"}));
}

TEST_F(VideoInferenceTest, LinksByEmbeddingsWithoutOverlap) {
  const auto linked = run(
      8, {"model.decoder.queries=per_clip", "model.decoder.num_queries=10", "inference.window=2",
          "inference.overlap=0", "inference.linker={plugin=\"embedding\"}"});
  ASSERT_FALSE(linked.empty());
  EXPECT_LE(linked.size(), 10u);  // a query is one track through all windows
  for (const VideoTrack& track : linked) EXPECT_EQ(track.segmentations.size(), 8u);
}

TEST_F(VideoInferenceTest, ShowsTheModelSomeFramesAndFillsTheRest) {
  const std::vector<std::string> any_length = {"model.decoder.queries=per_clip"};
  auto with = [&](const std::string& fill) {
    return run(6,
               {"model.decoder.queries=per_clip", "inference.frames=2", "inference.fill=" + fill});
  };
  const auto repeated = with("repeat"), cut = with("none");
  ASSERT_FALSE(cut.empty());
  ASSERT_EQ(cut.size(), repeated.size());
  for (size_t i = 0; i < cut.size(); ++i) {
    ASSERT_EQ(cut[i].segmentations.size(), 2u);
    ASSERT_EQ(repeated[i].segmentations.size(), 6u);
    EXPECT_EQ(repeated[i].segmentations[0], cut[i].segmentations[0]);
    for (size_t frame = 1; frame < 6; ++frame)
      EXPECT_EQ(repeated[i].segmentations[frame], cut[i].segmentations[1]);
  }
  // Two frames are what a video of two frames is.
  const auto short_video = run(2, any_length);
  expect_same(cut, short_video);
}

}  // namespace
}  // namespace tessera
