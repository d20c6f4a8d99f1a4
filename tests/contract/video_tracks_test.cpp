// What inference makes of a tracker's answers and of stages that see windows in order or the whole
// video: tracks that die and come back, rows that are dropped, tracks that are discarded.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "launcher/inference/checked_tracker.h"
#include "launcher/inference/track_joiner.h"
#include "launcher/inference/video_inference.h"
#include "tests/contract/mock_system.h"
#include "tests/launcher/moving_square.h"

namespace tessera::video_tracks_test {
namespace {

using test_support::moving_square;
using Lists = std::vector<std::vector<int64_t>>;

/// Gives the rows of window i the tracks that the options state for it.
class Scripted final : public Tracker {
 public:
  struct Options {
    Lists rows, ended, discarded;
    static void describe(Schema<Options>& schema) {
      schema.field("rows", &Options::rows, "Tracks of the rows of each window.");
      schema.field("ended", &Options::ended, "Tracks that end in each window.");
      schema.field("discarded", &Options::discarded, "Tracks that are none, by window.");
    }
  };
  Scripted(const Options& options, const BuildContext& context) : options_(options) {
    EXPECT_EQ(context.queries.num_queries, 4) << "a tracker reads the facts of the model";
    EXPECT_EQ(context.linker, nullptr);
  }
  std::unique_ptr<VideoTracker> begin() const override {
    return std::make_unique<Reading>(options_);
  }

 private:
  class Reading final : public VideoTracker {
   public:
    explicit Reading(const Options& options) : options_(options) {}
    TrackUpdate update(const TrackerInput& input) override {
      EXPECT_EQ(input.num_frames, 1);
      EXPECT_EQ(input.overlap, 0);
      EXPECT_EQ(input.rows.first_frame, static_cast<int64_t>(window_));
      EXPECT_EQ(input.class_logits.size(0), input.rows.class_probabilities.size(0));
      const auto of_window = [this](const Lists& lists) {
        return window_ < lists.size() ? lists[window_] : std::vector<int64_t>{};
      };
      TrackUpdate update{options_.rows.at(window_), of_window(options_.ended),
                         of_window(options_.discarded)};
      ++window_;
      return update;
    }

   private:
    const Options& options_;
    size_t window_ = 0;
  };
  Options options_;
};

/// The mock of a per-frame segmenter, with another tracker. All pairs of track and class are kept.
class PerFrame {
 public:
  explicit PerFrame(const std::string& tracker, std::vector<std::string> more = {})
      : registry_(registry()),
        experiment_(test_support::mock_experiment("ctvis", registry_, settings(tracker, more))),
        model_((at::manual_seed(4), experiment_.model), experiment_.clip_facts()),
        inference_(model_, experiment_.video_options(), at::kCPU) {}

  VideoTracks run(int64_t frames) const { return inference_.run(moving_square(frames)); }

 private:
  static Registry registry() {
    static const PluginDescriptor kScripted =
        make_descriptor<Tracker, Scripted>("test_scripted", "test");
    Registry registry = test_support::registry_with_mocks();
    registry.add(kScripted, "test");
    return registry;
  }
  static std::vector<std::string> settings(const std::string& tracker,
                                           std::vector<std::string> more) {
    more.insert(more.begin(), {"inference.tracker=" + tracker, "inference.select=\"threshold\"",
                               "inference.score_threshold=0.0", "inference.mask_quality=\"none\""});
    return more;
  }
  Registry registry_;
  Experiment experiment_;
  VisModel model_;
  VideoInference inference_;
};

/// The masks of each track, by its number.
std::map<int64_t, std::vector<std::optional<data::Rle>>> masks_by_track(const VideoTracks& found) {
  std::map<int64_t, std::vector<std::optional<data::Rle>>> masks;
  for (const ScoredTrack& track : found.tracks()) masks[track.id] = found.masks(track);
  return masks;
}

const std::string kEveryPixel = "inference.mask_threshold=0.000001";

// Track 0 is away in frame 2, track 1 in frame 1; track 2 turns out to be none; track 3 ends.
TEST(VideoTracks, DieComeBackAndAreDiscarded) {
  for (const std::string& threshold : {kEveryPixel, std::string("inference.mask_threshold=0.5")}) {
    const auto of_query = masks_by_track(PerFrame("\"row\"", {threshold}).run(4));
    const PerFrame scripted(
        "{plugin=\"test_scripted\", rows=[[0,1,2,-1],[0,-1,2,-1],[-1,1,2,3],[0,1,-1,-1]], "
        "ended=[[],[],[],[3]], discarded=[[],[],[],[2]]}",
        {threshold});
    const std::map<int64_t, std::set<size_t>> frames{{0, {0, 1, 3}}, {1, {0, 2, 3}}, {3, {2}}};
    for (int time = 0; time < 2; ++time) {  // a second video starts fresh
      const auto tracks = masks_by_track(scripted.run(4));
      EXPECT_FALSE(tracks.contains(2));
      if (threshold == kEveryPixel) {
        EXPECT_EQ(tracks.size(), 3u);
      }
      for (const auto& [track, of_track] : frames) {
        for (size_t frame = 0; frame < 4; ++frame) {
          std::optional<data::Rle> expected, found;
          if (of_track.contains(frame) && of_query.contains(track))
            expected = of_query.at(track)[frame];  // in the script a track has its query's number
          if (tracks.contains(track)) found = tracks.at(track)[frame];
          EXPECT_EQ(found, expected) << "track " << track << ", frame " << frame;
        }
      }
    }
  }
}

// A track's score is the mean over the frames in which it has a row.
TEST(VideoTracks, AreScoredByTheFramesThatHoldThem) {
  const auto scores = [](const VideoTracks& found, int64_t track) {
    std::map<int64_t, double> by_category;
    for (const ScoredTrack& each : found.tracks())
      if (each.id == track) by_category[each.category] = each.score;
    return by_category;
  };
  const auto with_rows = [](const std::string& script) {
    return PerFrame("{plugin=\"test_scripted\", rows=" + script + "}", {kEveryPixel}).run(3);
  };
  const auto both = scores(with_rows("[[0,-1,-1,-1],[-1,-1,-1,-1],[0,-1,-1,-1]]"), 0);
  const auto first = scores(with_rows("[[0,-1,-1,-1],[-1,-1,-1,-1],[-1,-1,-1,-1]]"), 0);
  const auto last = scores(with_rows("[[-1,-1,-1,-1],[-1,-1,-1,-1],[0,-1,-1,-1]]"), 0);
  ASSERT_EQ(both.size(), 3u);
  for (const auto& [category, score] : both)
    EXPECT_NEAR(score, (first.at(category) + last.at(category)) / 2, 1e-6);
}

TEST(VideoTracks, RefuseWrongAnswersOfATracker) {
  const auto error_of = [](const std::string& script) -> std::string {
    try {
      PerFrame("{plugin=\"test_scripted\", " + script + "}").run(2);
    } catch (const PluginError& error) {
      return error.what();
    }
    return "";
  };
  const std::pair<const char*, const char*> wrong[] = {
      {"rows=[[0,1]]", "for each of 4 rows, got 2"},
      {"rows=[[0,0,-1,-1]]", "one row for a track"},
      {"rows=[[0,2,-1,-1]]", "new track to have number 1"},
      {"rows=[[0,-2,-1,-1]]", "or -1, got -2"},
      {"rows=[[0,-1,-1,-1],[0,-1,-1,-1]], ended=[[0]]", "no track that has ended"},
      {"rows=[[0,-1,-1,-1]], discarded=[[0]]", "no row for a discarded track"},
      {"rows=[[0,-1,-1,-1],[-1,-1,-1,-1]], ended=[[],[0]], discarded=[[],[0]]", "once"},
      {"rows=[[0,-1,-1,-1]], ended=[[1]]", "a known track"}};
  for (const auto& [script, message] : wrong)
    EXPECT_THAT(error_of(script), testing::HasSubstr(message)) << script;
}

TEST(Experiments, RefuseALinkerBesideAnotherTracker) {
  Registry registry = test_support::registry_with_mocks();
  const auto load = [&registry](const std::vector<std::string>& more) {
    return test_support::mock_experiment("videomt", registry, more);
  };
  const Experiment row = load({});
  EXPECT_EQ(row.inference.linker.name, "");
  EXPECT_EQ(resolved_toml(row).find("inference.linker"), std::string::npos);
  EXPECT_THROW(load({"inference.linker=\"embedding\""}), ConfigError);
  EXPECT_EQ(load({"inference.tracker=\"linked\"", "inference.linker=\"embedding\""})
                .inference.linker.name,
            "embedding");
}

// Seven frames in windows of three: the last window is shorter, and no frame is seen twice.
class RemainingFrames : public testing::TestWithParam<const char*> {};

TEST_P(RemainingFrames, GiveTheTracksOfOneWindow) {
  const auto found = [](const std::string& window) {
    test_support::MockSystem system(
        GetParam(), {"inference.window=" + window, "inference.select=\"threshold\"",
                     "inference.score_threshold=0.0", "inference.backbone_frames=4"});
    return VideoInference(system.model, system.experiment.video_options(), at::kCPU)
        .run(moving_square(7));
  };
  const VideoTracks windows = found("3"), whole = found("\"all\"");
  ASSERT_FALSE(windows.tracks().empty());
  ASSERT_EQ(windows.tracks().size(), whole.tracks().size());
  std::map<std::pair<int64_t, int64_t>, double> scores;
  for (const ScoredTrack& track : whole.tracks()) scores[{track.id, track.category}] = track.score;
  for (const ScoredTrack& track : windows.tracks())
    EXPECT_NEAR(track.score, scores.at({track.id, track.category}), 1e-4);
  const auto masks = masks_by_track(windows), expected = masks_by_track(whole);
  for (const auto& [id, of_track] : masks) {
    size_t different = 0;
    for (size_t t = 0; t < 7; ++t) different += of_track[t] != expected.at(id)[t] ? 1 : 0;
    EXPECT_LE(different, 1u) << "track " << id;  // rounding may turn a pixel
  }
}

INSTANTIATE_TEST_SUITE_P(Systems, RemainingFrames,
                         testing::Values("videomt", "dvis_online", "dvis_offline", "genvis"),
                         [](const auto& info) { return std::string(info.param); });

/// Frames of another size from the third on.
class Growing final : public data::FrameSource {
 public:
  at::Tensor read(int64_t index) override {
    return at::zeros({64, index < 2 ? 96 : 80, 3}, at::kByte);
  }
};

TEST(VideoFrames, AreOfOneSize) {
  for (const char* frames : {"1", "8"}) {
    test_support::MockSystem system(
        "videomt", {"inference.window=1", std::string("inference.backbone_frames=") + frames});
    data::InferenceVideo video = moving_square(4);
    video.source = std::make_shared<Growing>();
    try {
      VideoInference(system.model, system.experiment.video_options(), at::kCPU).run(video);
      ADD_FAILURE() << "expected an error";
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("video 'square'"));
    }
  }
}

/// Masks that are there already: [R,T,h,w].
SeenRows rows_with(const at::Tensor& logits, int64_t start, const FrameGeometry& geometry) {
  SeenRows rows;
  const int64_t count = logits.size(0), frames = logits.size(1);
  rows.window = {start, frames};
  rows.classes.logits = at::zeros({1, frames, count, 3});
  rows.classes.logits.select(3, 0).fill_(2.0);
  rows.classes.scope = ClassScope::frame;
  rows.tracker.num_frames = frames;
  rows.tracker.rows.first_frame = start;
  rows.tracker.rows.class_probabilities = at::full({count, 2}, 0.5);
  rows.masks.window = rows.window;
  rows.masks.queries = at::arange(count);
  rows.masks.logits = logits;
  rows.masks.geometry = geometry;
  return rows;
}

/// Every row its number.
class Numbered final : public VideoTracker {
 public:
  TrackUpdate update(const TrackerInput& input) override {
    TrackUpdate update;
    for (int64_t row = 0; row < input.rows.class_probabilities.size(0); ++row)
      update.track_of_row.push_back(row);
    return update;
  }
};

// The mean probability of the pixels inside, over all frames: at the size of the unpadded input, or
// of the video.
TEST(MaskQuality, MultipliesTheScore) {
  at::manual_seed(5);
  const at::Tensor logits = at::randn({2, 3, 4, 6}) * 3;
  const FrameGeometry geometry{8, 12, 8, 9, 20, 30};
  const auto scores = [&](const std::string& quality, const std::vector<int64_t>& lengths) {
    VideoOptions options;
    options.inference.select = "threshold";
    options.inference.score_threshold = 0.5;
    options.inference.mask_quality = quality;
    options.num_categories = 2;
    auto store = std::make_shared<MaskStore>(std::filesystem::temp_directory_path(), 3);
    TrackJoiner joiner(options, {std::make_unique<Numbered>(), "numbered"}, at::kCPU, store,
                       lengths.size() == 1);
    int64_t start = 0;
    for (const int64_t length : lengths) {
      const SeenRows rows = rows_with(logits.narrow(1, start, length), start, geometry);
      joiner.add(rows);
      start += length;
      joiner.store(rows.masks, std::nullopt);
    }
    std::map<int64_t, double> found;
    for (const ScoredTrack& track : joiner.finish()) found[track.id] = track.score;
    return found;
  };
  const double plain = scores("none", {3}).at(0);
  for (const char* quality : {"padded", "output"}) {
    for (const std::vector<int64_t>& lengths :
         {std::vector<int64_t>{3}, std::vector<int64_t>{1, 2}}) {
      const auto found = scores(quality, lengths);
      ASSERT_EQ(found.size(), 2u);
      for (const auto& [row, score] : found) {
        at::Tensor of_row = at::upsample_bilinear2d(logits[row].unsqueeze(0), {8, 12}, false);
        of_row = of_row.slice(2, 0, 8).slice(3, 0, 9);
        if (std::string(quality) == "output")
          of_row = at::upsample_bilinear2d(of_row, {20, 30}, false);
        const at::Tensor inside = of_row.sigmoid().masked_select(of_row > 0);
        EXPECT_NEAR(score, plain * inside.mean().item<double>(), 1e-6) << quality;
      }
    }
  }
  EXPECT_NE(scores("padded", {3}).at(0), scores("output", {3}).at(0));
}

}  // namespace
}  // namespace tessera::video_tracks_test
