// The parts that a long video goes through: tracks over windows, running scores, masks on disk.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "launcher/inference/frames_sweep.h"
#include "launcher/inference/mask_store.h"
#include "launcher/inference/mean_masks.h"
#include "launcher/inference/track_scores.h"
#include "launcher/inference/windows.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using Ids = std::vector<int64_t>;

TEST(WindowsOf, AreAllOfOneLengthAndEndWithTheVideo) {
  const auto starts = [](int64_t num_frames, int64_t window, int64_t overlap) {
    std::vector<int64_t> found;
    for (const Window& one : windows_of(num_frames, window, overlap)) {
      EXPECT_EQ(one.length, window);
      found.push_back(one.start);
    }
    return found;
  };
  EXPECT_EQ(starts(3, 3, 1), (Ids{0}));
  EXPECT_EQ(starts(7, 3, 1), (Ids{0, 2, 4}));
  EXPECT_EQ(starts(8, 3, 1), (Ids{0, 2, 4, 5}));  // the last shares more
  EXPECT_EQ(starts(6, 3, 0), (Ids{0, 3}));
}

TEST(MeanMasks, AverageOverTheWindowsThatHoldATrack) {
  MeanMasks means;
  const auto logits = [](const std::vector<double>& values) {
    return at::tensor(values).view({-1, 1, 1});
  };
  means.add(0, {3}, logits({1}), at::tensor({0.5}, at::kDouble));
  means.add(1, {3}, logits({2}), at::tensor({0.5}, at::kDouble));
  means.add(1, {7, 3}, logits({5, 6}), at::tensor({0.1, 0.7}, at::kDouble));
  auto taken = means.take(1);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken.at(0).tracks, (std::vector<int64_t>{3}));
  taken = means.take(10);
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken.at(1).tracks, (std::vector<int64_t>{3, 7}));
  EXPECT_TRUE(at::allclose(taken.at(1).logits.flatten(), at::tensor({4.0, 5.0})));
  EXPECT_TRUE(at::allclose(taken.at(1).score, at::tensor({0.6, 0.1}, at::kDouble)));
  EXPECT_TRUE(means.take(10).empty());
}

ClassLogits classes_of(const at::Tensor& logits) {
  ClassLogits classes;
  classes.logits = logits.unsqueeze(0);
  classes.scope = ClassScope::frame;
  return classes;
}

ClassLogits some_frame(ClassLogits classes, int64_t frame) {
  classes.logits = classes.logits.narrow(1, frame, 1);
  return classes;
}

TrackUpdate rows_are(std::vector<int64_t> tracks, std::vector<int64_t> ended = {},
                     std::vector<int64_t> discarded = {}) {
  return {std::move(tracks), std::move(ended), std::move(discarded)};
}

void expect_same(const std::vector<ScoredTrack>& a, const std::vector<ScoredTrack>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].id, b[i].id);
    EXPECT_EQ(a[i].category, b[i].category);
    EXPECT_NEAR(a[i].score, b[i].score, 1e-12);
  }
}

TEST(TrackScores, GivesTheSameWindowByWindowAsAtOnce) {
  at::manual_seed(3);
  const at::Tensor logits = at::randn({7, 4, 6}, at::kDouble) * 2;
  for (const char* select : {"slot", "top_k"}) {
    for (const char* average : {"probabilities", "logits"}) {
      InferenceOptions options;
      options.select = select;
      options.average = average;
      options.top_k = 5;
      TrackScores whole(options, 5), parts(options, 5);
      whole.add(classes_of(logits), rows_are({0, 1, 2, 3}));
      parts.add(classes_of(logits.narrow(0, 0, 3)), rows_are({0, 1, 2, 3}));
      const at::Tensor reversed = logits.narrow(0, 3, 4).flip(1);
      parts.add(classes_of(reversed), rows_are({3, 2, 1, 0}));
      expect_same(parts.finish(), whole.finish());
    }
  }
}

TEST(TrackScores, AveragesLogitsBeforeTheSoftmaxWhereAsked) {
  const at::Tensor logits = at::tensor({0.0, 4.0, 4.0, 0.0, 3.0, 0.0}, at::kDouble).view({2, 1, 3});
  InferenceOptions options;
  options.select = "top_k";
  options.top_k = 1;
  options.average = "logits";
  TrackScores scores(options, 2);
  scores.add(classes_of(logits), rows_are({0}));
  const double a = std::exp(0.0), b = std::exp(3.5), none = std::exp(2.0);
  EXPECT_NEAR(scores.finish()[0].score, b / (a + b + none), 1e-12);
}

TEST(TrackScores, KeepsALiveTrackThatAWindowLacked) {
  const at::Tensor logits = at::randn({3, 2, 4}, at::kDouble);
  InferenceOptions options;
  options.select = "threshold";
  options.score_threshold = 0;
  TrackScores whole(options, 3), parts(options, 3);
  whole.add(classes_of(logits), rows_are({0, 1}));
  // Track 0 misses frame 1 here, so its mean is the mean of frames 0 and 2.
  parts.add(classes_of(logits.narrow(0, 0, 1)), rows_are({0, 1}));
  parts.add(classes_of(logits.narrow(0, 1, 1).narrow(1, 1, 1)), rows_are({1}));
  parts.add(classes_of(logits.narrow(0, 2, 1).flip(1)), rows_are({1, 0}));
  const at::Tensor probabilities = logits.softmax(-1);
  for (const ScoredTrack& track : parts.finish()) {
    const at::Tensor seen = probabilities.select(1, track.id).select(1, track.category);
    const double expected =
        track.id == 0 ? (seen[0] + seen[2]).item<double>() / 2 : seen.mean().item<double>();
    EXPECT_NEAR(track.score, expected, 1e-12);
  }
}

TEST(TrackScores, TakesEveryPairAboveTheThreshold) {
  // One query, two classes and no object, and another without either.
  const at::Tensor logits = at::tensor({2.0, 2.0, 0.0, 0.0, 0.0, 4.0}).view({1, 2, 3});
  InferenceOptions options;
  options.select = "threshold";
  options.score_threshold = 0.3;
  options.top_k = 1;
  TrackScores scores(options, 2);
  scores.add(classes_of(logits), rows_are({0, 1}));
  const auto tracks = scores.finish();
  ASSERT_EQ(tracks.size(), 2u);
  for (int64_t category = 0; category < 2; ++category) {
    EXPECT_EQ(tracks[category].id, 0);
    EXPECT_EQ(tracks[category].category, category);
  }
}

TEST(KeptQueries, AreThoseWhoseBestClassIsAnObject) {
  // Two frames, three queries, two classes and no object.
  at::Tensor logits = at::zeros({2, 3, 3}, at::kDouble);
  logits.select(1, 0).select(1, 2).fill_(5);  // no object
  logits.select(1, 1).select(1, 0).fill_(5);
  logits[0][2][2] = 9;  // no object in one frame, a class in the other, less surely
  logits[1][2][1] = 2;
  const ClassLogits classes = classes_of(logits);
  EXPECT_TRUE(at::equal(kept_queries(classes, "all"), at::arange(3)));
  EXPECT_TRUE(at::equal(kept_queries(classes, "foreground"), at::tensor({1}, at::kLong)));
  ClassLogits sigmoid = classes;
  sigmoid.activation = ClassActivation::sigmoid;
  EXPECT_THROW(kept_queries(sigmoid, "foreground"), ConfigError);
}

TEST(TrackScores, RemembersTracksThatEnded) {
  InferenceOptions options;
  TrackScores scores(options, 2);
  // Track 0 is sure for one frame and ends; track 1 goes on.
  scores.add(classes_of(at::tensor({9.0, 0.0, 0.0, 0.0, 1.0, 0.0}).view({1, 2, 3})),
             rows_are({0, 1}));
  scores.add(classes_of(at::tensor({0.0, 1.0, 0.0}).view({1, 1, 3})), rows_are({1}, {0}));
  const auto tracks = scores.finish();
  ASSERT_EQ(tracks.size(), 2u);
  EXPECT_EQ(tracks[0].id, 0);
  EXPECT_EQ(tracks[0].category, 0);
  EXPECT_GT(tracks[0].score, 0.99);
  EXPECT_EQ(tracks[1].category, 1);
}

at::Tensor probabilities_of(const ClassLogits& classes) {
  return classes.probabilities().select(0, 0);  // [T,Q,K]
}

// A track that a tracker takes for none after all has no result; nor have rows without a track.
TEST(TrackScores, LeavesOutDiscardedTracksAndDroppedRows) {
  const ClassLogits classes = classes_of(at::randn({2, 3, 4}, at::kDouble));
  InferenceOptions options;
  options.select = "threshold";
  options.score_threshold = 0;
  TrackScores scores(options, 3);
  scores.add(some_frame(classes, 0), rows_are({0, -1, 1}));
  scores.add(some_frame(classes, 1), rows_are({2, -1, 1}, {}, {0}));
  const at::Tensor p = probabilities_of(classes);
  size_t found = 0;
  for (const ScoredTrack& track : scores.finish()) {
    ASSERT_TRUE(track.id == 1 || track.id == 2) << track.id;
    const double expected =
        (track.id == 1 ? p.select(1, 2).mean(0) : p[1][0])[track.category].item<double>();
    EXPECT_NEAR(track.score, expected, 1e-12);
    ++found;
  }
  EXPECT_EQ(found, 6u);  // two tracks, three categories
}

// The largest probability over windows (GenVIS), the mean of logits of one stage against another
// stage (DVIS): by hand.
TEST(TrackScores, CombinesWindowsAndStages) {
  const ClassLogits first = classes_of(at::randn({3, 2, 4}, at::kDouble) * 2);
  const ClassLogits second = classes_of(at::randn({3, 2, 4}, at::kDouble) * 2);
  const at::Tensor p = probabilities_of(second);
  const auto scored = [&](InferenceOptions options, bool both) {
    options.select = "threshold";
    options.score_threshold = 0;
    TrackScores scores(options, 3);
    for (int64_t t = 0; t < 3; ++t) {
      std::vector<ClassLogits> classes{some_frame(second, t)};
      if (both) classes.insert(classes.begin(), some_frame(first, t));
      scores.add(classes, rows_are({0, 1}));
    }
    at::Tensor table = at::zeros({2, 3}, at::kDouble);
    for (const ScoredTrack& track : scores.finish()) table[track.id][track.category] = track.score;
    return table;
  };
  InferenceOptions maximum;
  maximum.average = "maximum";
  EXPECT_TRUE(at::allclose(scored(maximum, false), p.amax(0)));
  InferenceOptions stages;
  stages.scores = {{"tracker", "logits"}, {"refiner", "probabilities"}};
  stages.combine = "maximum";
  const at::Tensor of_first =
      first.logits.select(0, 0).mean(0).softmax(-1).narrow(-1, 0, 3);  // without no-object
  const at::Tensor expected = at::maximum(of_first, p.mean(0));
  EXPECT_TRUE(at::allclose(scored(stages, true), expected));
  EXPECT_FALSE(at::allclose(of_first, expected));
  EXPECT_FALSE(at::allclose(p.mean(0), expected));
}

TEST(MaskStore, GivesBackWhatWasPutAndNothingElse) {
  const auto folder = std::filesystem::temp_directory_path();
  MaskStore store(folder, 1000);
  const data::Rle a{4, 5, {0, 4, 16}}, b{4, 5, {3, 2, 15}};
  store.put(0, 999, a);
  store.put(70, 3, b);
  EXPECT_EQ(store.get(0, 999), a);
  EXPECT_EQ(store.get(70, 3), b);
  EXPECT_FALSE(store.get(0, 0));
  EXPECT_FALSE(store.get(70, 4));
  EXPECT_FALSE(store.get(500, 0));  // beyond everything that was written
  EXPECT_TRUE(store.has(0));
  EXPECT_TRUE(store.has(70));
  EXPECT_FALSE(store.has(69));
  EXPECT_FALSE(store.has(71));
  store.forget(70);
  EXPECT_FALSE(store.has(70));
  EXPECT_FALSE(store.get(70, 3));
  EXPECT_EQ(store.get(0, 999), a);
  EXPECT_THROW(MaskStore(folder / "not there", 1), RuntimeError);
}

TEST(FramesSweep, ReadsNumbersOfFrames) {
  const auto counts = parse_frame_counts({"1", "16", "all"});
  EXPECT_EQ(counts[1].frames, 16);
  EXPECT_TRUE(counts[2].is_all());
  for (const char* wrong : {"0", "-1", "two", "3x", ""})
    EXPECT_THROW(parse_frame_counts({wrong}), ConfigError) << wrong;
}

// A video of four frames with one object that fills them; predictions are right in `frames`.
std::string video_of_four() {
  return R"({"videos": [{"id": 1, "width": 2, "height": 2, "length": 4,
    "file_names": ["a/0.jpg", "a/1.jpg", "a/2.jpg", "a/3.jpg"]}],
    "categories": [{"id": 1, "name": "disc"}],
    "annotations": [{"id": 1, "video_id": 1, "category_id": 1, "iscrowd": 0,
      "areas": [4, 4, 4, 4], "bboxes": [[0,0,2,2],[0,0,2,2],[0,0,2,2],[0,0,2,2]],
      "segmentations": [{"size": [2, 2], "counts": "04"}, {"size": [2, 2], "counts": "04"},
                        {"size": [2, 2], "counts": "04"}, {"size": [2, 2], "counts": "04"}]}]})";
}

std::string right_in(int frames) {
  std::string masks;
  for (int t = 0; t < frames; ++t)
    masks += std::string(t == 0 ? "" : ", ") + R"({"size": [2, 2], "counts": "04"})";
  return R"([{"video_id": 1, "category_id": 1, "score": 0.5, "segmentations": [)" + masks + "]}]";
}

double value_of(const std::vector<evaluation::Stat>& stats, const std::string& name) {
  for (const evaluation::Stat& stat : stats)
    if (stat.name == name) return stat.value;
  throw std::out_of_range(name);
}

TEST(FramesSweep, WindowsShowWhatAShortListHides) {
  const test_support::TemporaryFolder folder;
  const auto truth = folder / "truth.json", short_lists = folder / "1.json",
             whole = folder / "all.json", too_long = folder / "long.json";
  test_support::write_file(truth, video_of_four());
  test_support::write_file(short_lists, right_in(1));
  test_support::write_file(whole, right_in(4));
  test_support::write_file(too_long, right_in(5));
  const SweepRow one = score_sweep_row({1}, truth, short_lists);
  const SweepRow all = score_sweep_row({}, truth, whole);
  EXPECT_DOUBLE_EQ(value_of(one.stats, "AP"), 1.0);
  EXPECT_DOUBLE_EQ(value_of(one.windowed, "AP_1"), 26.0 / 101);  // recalls 0, 0.01, ..., 0.25
  EXPECT_DOUBLE_EQ(value_of(one.windowed, "AP_4"), 0.0);         // IoU 1/4
  for (const char* name : {"AP_1", "AP_4", "AP_12", "AP_24", "AP_full"})
    EXPECT_DOUBLE_EQ(value_of(all.windowed, name), 1.0) << name;
  const std::string table = sweep_table({one, all});
  EXPECT_NE(table.find("AP_full"), std::string::npos) << table;
  EXPECT_NE(table.find("25.74"), std::string::npos) << table;
  EXPECT_THROW(score_sweep_row({}, truth, too_long), DataError);
}

}  // namespace
}  // namespace tessera
