#include "launcher/inference/video_inference.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <span>

#include "core/error.h"
#include "core/interfaces/build_context.h"
#include "core/plugin/registry.h"
#include "core/trackers/linked.h"
#include "launcher/data/frame_tensor.h"
#include "launcher/experiment.h"
#include "launcher/inference/mean_masks.h"
#include "launcher/inference/select_tracks.h"
#include "launcher/inference/track_scores.h"
#include "launcher/inference/window_frames.h"
#include "launcher/inference/window_plan.h"
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

/// The model's clip of five frames goes on from the video's start, in the statistics, too.
TEST_F(VideoInferenceTest, NormalisesAShortVideoAsTheClipThatTheModelSees) {
  data::InferenceVideo brightening = test_support::moving_square(5);
  brightening.source = std::make_shared<test_support::MovingSquare>(40, 50);
  /// Frame t of the clip is frame t % 3.
  class Filled : public data::FrameSource {
   public:
    explicit Filled(std::shared_ptr<data::FrameSource> source) : source_(std::move(source)) {}
    at::Tensor read(int64_t index) override { return source_->read(index % 3); }

   private:
    std::shared_ptr<data::FrameSource> source_;
  };
  data::InferenceVideo filled = brightening, three = brightening;
  filled.source = std::make_shared<Filled>(brightening.source);
  three.length = 3;
  const std::vector<std::string> settings = {"data.normalise.by=clip",
                                             "inference.frame_score_threshold=0.0"};
  const auto masks = [&](const data::InferenceVideo& video) {
    std::vector<std::vector<std::optional<data::Rle>>> all;
    for (const VideoTrack& track : run(video, settings))
      all.emplace_back(track.segmentations.begin(), track.segmentations.begin() + 3);
    return all;
  };
  const auto expected = masks(filled);
  ASSERT_FALSE(expected.empty());
  EXPECT_THAT(masks(three), testing::UnorderedElementsAreArray(expected));
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

/// What IFC's inference is made of, window by window: the masks' mean over all windows that see a
/// frame, and classes of all of their frames.
class Merged {
 public:
  Merged(VisModel& model, const Experiment& experiment, const data::InferenceVideo& video)
      : model_(model),
        experiment_(experiment),
        video_(video),
        tracker_(BuildContext().make(experiment.inference.linker)),
        chain_(tracker_.begin()),
        scores_(experiment.inference, experiment.data.num_categories) {
    const at::NoGradGuard no_grad;
    const WindowPlan plan(experiment.inference, {.fixed_frames = model.needs().fixed_frames},
                          tracker_);
    int64_t end = 0;
    for (const Window& window : plan.of(video.length)) {
      add(window, end - window.start);
      end = window.start + window.length;
    }
    means_ = sums_.take(video.length);
  }

  std::vector<ScoredTrack> tracks() { return scores_.finish(); }
  std::optional<data::Rle> mask(int64_t track, int64_t frame) const {
    const MeanMasks::Frame& mean = means_.at(frame);
    const auto found = std::find(mean.tracks.begin(), mean.tracks.end(), track);
    if (found == mean.tracks.end()) return std::nullopt;
    const at::Tensor logits = mean.logits[found - mean.tracks.begin()].view(
        {1, 1, mean.logits.size(1), mean.logits.size(2)});
    const at::Tensor mask = (resize_mask_logits(logits, geometry_) > 0).to(at::kByte).flatten();
    const data::Rle rle = data::from_mask(
        std::span(mask.const_data_ptr<uint8_t>(), static_cast<size_t>(mask.numel())), video_.height,
        video_.width);
    return data::area(rle) > 0 ? std::optional(rle) : std::nullopt;
  }

 private:
  void add(const Window& window, int64_t overlap) {
    const at::Tensor frames = WindowFrames(video_, {window.start, window.length, window.length},
                                           experiment_.video_options())
                                  .read(0, window.length);
    ClipMeta meta;
    meta.height = frames.size(2);
    meta.width = frames.size(3);
    const ClipBatch batch = data::batch_frames({frames}, {meta}, model_.needs().size_divisor);
    geometry_ = {batch.frames.size(3), batch.frames.size(4), meta.height,
                 meta.width,           video_.height,        video_.width};
    const ForwardContext context;
    const VisModel::Output output = model_.forward(batch, context);
    const LayerPrediction& last = output.last().predictions.layers.back();
    WindowTracks rows;
    rows.first_frame = window.start;
    ClassLogits classes = last.classes;
    if (classes.scope == ClassScope::clip)
      classes.logits = classes.logits.unsqueeze(1).expand({-1, window.length, -1, -1});
    classes.scope = ClassScope::frame;
    rows.class_probabilities = classes.probabilities()[0].mean(0);
    const InstanceLayer& embedded = output.last().embeddings.layers.back();
    rows.embeddings = embedded.frame.defined() ? embedded.frame[0].mean(0) : embedded.clip[0];
    const at::Tensor logits =
        last.masks->logits(0, at::arange(rows.class_probabilities.size(0), at::kLong));
    rows.mask_logits = logits;
    TrackerInput input;
    input.rows = rows;
    input.num_frames = window.length;
    input.overlap = overlap;
    const TrackUpdate update = chain_->update(input);
    const std::vector<int64_t>& track_of_row = update.track_of_row;
    scores_.add(classes, update);
    for (int64_t t = 0; t < window.length; ++t)
      sums_.add(window.start + t, track_of_row, logits.select(1, t),
                at::ones({logits.size(0)}, at::kDouble));
  }

  VisModel& model_;
  const Experiment& experiment_;
  const data::InferenceVideo& video_;
  LinkedTracker tracker_;
  std::unique_ptr<VideoTracker> chain_;
  TrackScores scores_;
  MeanMasks sums_;
  std::map<int64_t, MeanMasks::Frame> means_;
  FrameGeometry geometry_;
};

TEST_F(VideoInferenceTest, MergesTheMasksAndClassesOfAllWindowsThatSeeAFrame) {
  for (const char* linker :
       {"{plugin=\"embedding\"}", "{plugin=\"soft_mask_iou\", minimum_iou=0.7}"}) {
    SCOPED_TRACE(linker);
    const Experiment experiment = load_experiment(
        TESSERA_SOURCE_DIR "/experiments/smoke/vistr.toml",
        {"model.decoder.queries=per_clip", "inference.window=3", "inference.overlap=2",
         "inference.merge=mean", "inference.backbone_frames=1",
         "inference.frame_score_threshold=0.0", std::string("inference.linker=") + linker},
        registry_);
    at::manual_seed(2);
    VisModel model(experiment.model, experiment.clip_facts());
    const data::InferenceVideo video = test_support::moving_square(6);
    const VideoTracks found =
        VideoInference(model, experiment.video_options(), at::kCPU).run(video);
    Merged expected(model, experiment, video);
    std::map<int64_t, ScoredTrack> scored;
    for (const ScoredTrack& track : expected.tracks()) {
      EXPECT_FALSE(scored.contains(track.id)) << track.id;
      scored[track.id] = track;
    }
    ASSERT_FALSE(found.tracks().empty());
    for (const ScoredTrack& track : found.tracks()) {
      EXPECT_EQ(track.category, scored.at(track.id).category);
      EXPECT_NEAR(track.score, scored.at(track.id).score, 1e-5);
      for (int64_t frame = 0; frame < video.length; ++frame)
        EXPECT_LE(difference(found.mask(track, frame), expected.mask(track.id, frame)), 0.002)
            << "track " << track.id << ", frame " << frame;
    }
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
