#include "launcher/evaluation/score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/evaluation/fixture.h"

namespace tessera::evaluation {
namespace {

using data::Annotation;
using data::Occlusion;
using data::Rle;
using test_support::box_rle;
using test_support::error_of;
using test_support::expect_parts;

using Masks = std::vector<std::optional<Rle>>;

/// A mask of 10 x 100 pixels: `count` pixels of a row from `start` on.
Rle bar(int64_t start, int64_t count) {
  return box_rle(10, 100, start, 0, count, 1);
}

/// Ground truth in memory: one video of two frames for each id, one category (5).
class Score : public testing::Test {
 protected:
  Score() {
    truth_.file = "gt.json";
    results_.file = "results.json";
    truth_.categories = {{5, "duck"}};
    add_video(1);
  }

  void add_video(int64_t id) { truth_.videos.push_back({id, 100, 10, 2, {"0.jpg", "1.jpg"}}); }

  Annotation& add_truth(const Masks& masks, int64_t video_id = 1) {
    Annotation annotation;
    annotation.id = static_cast<int64_t>(truth_.annotations.size()) + 1;
    annotation.video_id = video_id;
    annotation.category_id = 5;
    for (size_t i = 0; i < truth_.videos.size(); ++i) {
      if (truth_.videos[i].id == video_id) annotation.video_index = i;
    }
    annotation.segmentations = masks;
    for (const auto& mask : masks) {
      annotation.areas.push_back(mask ? std::optional<double>(data::area(*mask)) : std::nullopt);
    }
    truth_.annotations.push_back(annotation);
    return truth_.annotations.back();
  }

  void add_result(double score, const Masks& masks, int64_t video_id = 1) {
    results_.tracks.push_back({video_id, 5, score, masks});
  }

  double stat(const char* name, const ScoreOptions& options = {}) const {
    return score(truth_, results_, options).stat(name);
  }

  std::string error(const ScoreOptions& options = {}) const {
    return error_of([&] { score(truth_, results_, options); });
  }

  data::AnnotationFile truth_;
  Results results_;
};

TEST(TrackIou, SumsOverTheFrames) {
  // Frame 0: 10 and 20 pixels, 10 in common. Frame 1: only b, 30 pixels. 10 / (20 + 30).
  EXPECT_DOUBLE_EQ(track_iou({bar(0, 10), std::nullopt}, {bar(0, 20), bar(0, 30)}), 0.2);
  EXPECT_EQ(track_iou({std::nullopt}, {std::nullopt}), 0);
  EXPECT_EQ(track_iou({bar(0, 0)}, {bar(0, 0)}), 0);
  EXPECT_EQ(track_iou({}, {bar(0, 10)}), 0);
}

TEST(TrackIou, EndsWithTheShorterListAndLeavesOutOtherSizes) {
  EXPECT_EQ(track_iou({bar(0, 10)}, {bar(0, 10), bar(0, 30)}), 1);
  EXPECT_DOUBLE_EQ(track_iou({bar(0, 10), box_rle(5, 5, 0, 0, 2, 2)}, {bar(0, 20), bar(0, 30)}),
                   0.5);
}

TEST_F(Score, IsOneForThePerfectResult) {
  add_truth({bar(0, 10), std::nullopt});
  add_result(0.3, {bar(0, 10), std::nullopt});
  const ScoreResult result = score(truth_, results_);
  ASSERT_EQ(result.stats.size(), 12u);
  for (const char* name : {"AP", "AP50", "AP75", "APs", "AR1", "AR10", "AR100", "ARs"}) {
    EXPECT_NEAR(result.stat(name), 1, 1e-12) << name;
  }
  for (const char* name : {"APm", "APl", "ARm", "ARl"}) EXPECT_EQ(result.stat(name), -1) << name;
  EXPECT_EQ(result.categories[0].num_ground_truth, (std::array<int64_t, 4>{1, 1, 0, 0}));
}

// IoU 0.7 exactly: found at thresholds 0.50 .. 0.65, and at 0.70, which lies one bit below 0.7.
TEST_F(Score, CountsThresholdsThatAreReached) {
  add_truth({bar(0, 10), std::nullopt});
  add_result(0.3, {bar(0, 7), std::nullopt});
  EXPECT_NEAR(stat("AP"), 0.5, 1e-12);
  EXPECT_NEAR(stat("AR100"), 0.5, 1e-12);
  EXPECT_NEAR(stat("AP50"), 1, 1e-12);
  EXPECT_EQ(stat("AP75"), 0);
}

// Two tracks; surest prediction wrong, second right, third right: precision 0, 1/2, 2/3, whose
// envelope is 2/3 at every recall point.
TEST_F(Score, TakesTheEnvelopeOfPrecision) {
  add_truth({bar(0, 10), bar(0, 10)});
  add_truth({bar(50, 10), bar(50, 10)});
  add_result(0.9, {bar(30, 10), bar(30, 10)});
  add_result(0.8, {bar(0, 10), bar(0, 10)});
  add_result(0.7, {bar(50, 10), bar(50, 10)});
  EXPECT_NEAR(stat("AP"), 2. / 3, 1e-12);
  EXPECT_NEAR(stat("AR1"), 0, 1e-12);
  EXPECT_NEAR(stat("AR10"), 1, 1e-12);
}

// One of two found, no false ones: precision 1 up to recall 0.5, which are 51 of 101 points.
TEST_F(Score, GivesNothingBeyondTheRecallReached) {
  add_truth({bar(0, 10), bar(0, 10)});
  add_truth({bar(50, 10), bar(50, 10)});
  add_result(0.9, {bar(0, 10), bar(0, 10)});
  EXPECT_NEAR(stat("AP"), 51. / 101, 1e-12);
  EXPECT_NEAR(stat("AR100"), 0.5, 1e-12);
}

TEST_F(Score, CountsASecondPredictionOfOneTrackAsFalse) {
  add_truth({bar(0, 10), bar(0, 10)});
  add_truth({bar(50, 10), bar(50, 10)});
  add_result(0.9, {bar(0, 10), bar(0, 10)});
  add_result(0.8, {bar(0, 10), bar(0, 10)});
  add_result(0.7, {bar(50, 10), bar(50, 10)});
  // Precision 1 up to recall 0.5 (51 points), then 2/3.
  EXPECT_NEAR(stat("AP"), (51 + 50 * 2. / 3) / 101, 1e-12);
}

TEST_F(Score, LetsCrowdsTakeAnyNumberOfPredictions) {
  add_truth({bar(0, 10), bar(0, 10)});
  add_truth({bar(50, 30), bar(50, 30)}).is_crowd = true;
  for (const double value : {0.95, 0.9, 0.85}) add_result(value, {bar(50, 30), bar(50, 30)});
  add_result(0.5, {bar(0, 10), bar(0, 10)});
  EXPECT_NEAR(stat("AP"), 1, 1e-12);
  EXPECT_EQ(score(truth_, results_).categories[0].num_ground_truth[0], 1);
}

TEST_F(Score, KeepsTheFirstHundredPredictionsOfAVideo) {
  add_truth({bar(0, 10), bar(0, 10)});
  for (int i = 0; i < 99; ++i) add_result(0.9, {bar(50, 10), bar(50, 10)});
  add_result(0.8, {bar(0, 10), bar(0, 10)});
  EXPECT_NEAR(stat("AR100"), 1, 1e-12);
  EXPECT_EQ(stat("AR10"), 0);
  add_result(0.9, {bar(50, 10), bar(50, 10)});
  EXPECT_EQ(stat("AR100"), 0);
}

TEST_F(Score, SplitsByStatedArea) {
  add_truth({bar(0, 10), std::nullopt}).areas = {128. * 128, 0};  // on the border: small and medium
  add_result(0.9, {bar(0, 10), std::nullopt});
  const ScoreResult result = score(truth_, results_);
  EXPECT_EQ(result.categories[0].num_ground_truth, (std::array<int64_t, 4>{1, 1, 1, 0}));
  EXPECT_NEAR(result.stat("APm"), 1, 1e-12);
}

TEST_F(Score, SplitsByOcclusionOfTheWorstHalf) {
  // Sorted: severe, slight, none -> mean of the worst two = 0.5: medium and heavy.
  truth_.videos[0] = {1, 100, 10, 3, {"0.jpg", "1.jpg", "2.jpg"}};
  const Masks masks = {bar(0, 10), bar(0, 10), bar(0, 10)};
  add_truth(masks).occlusion = {Occlusion::kNone, Occlusion::kSevere, Occlusion::kSlight};
  add_result(0.9, masks);
  const ScoreResult result = score(truth_, results_, {.protocol = Protocol::kOvis});
  ASSERT_EQ(result.stats.size(), 18u);
  EXPECT_EQ(result.categories[0].num_by_occlusion, (std::array<int64_t, 4>{1, 0, 1, 1}));
  EXPECT_EQ(result.stat("AP_light"), -1);
  EXPECT_NEAR(result.stat("AP_medium"), 1, 1e-12);
  EXPECT_NEAR(result.stat("AR_heavy"), 1, 1e-12);
}

TEST_F(Score, LosesTheMatchOfIdZeroOnlyWhenCompatible) {
  add_truth({bar(0, 10), bar(0, 10)}).id = 0;
  add_result(0.9, {bar(0, 10), bar(0, 10)});
  EXPECT_NEAR(stat("AP"), 1, 1e-12);
  EXPECT_EQ(stat("AP", {.compatible = true}), 0);
}

TEST_F(Score, DoesNotDependOnTheNumberOfThreads) {
  std::mt19937 random(7);
  for (int64_t video = 2; video < 12; ++video) {
    add_video(video);
    for (int i = 0; i < 8; ++i) {
      const auto mask = [&] { return bar(random() % 50, 1 + random() % 50); };
      add_truth({mask(), mask()}, video);
      add_result(0.1 * static_cast<double>(random() % 10), {mask(), mask()}, video);
    }
  }
  const double expected = stat("AP50", {.num_threads = 1});
  EXPECT_GT(expected, 0);
  for (const size_t num_threads : {2, 3, 8}) {
    EXPECT_EQ(stat("AP50", {.num_threads = num_threads}), expected);
  }
}

TEST_F(Score, RefusesListsOfAnotherLengthThanTheVideo) {
  add_truth({bar(0, 10), bar(0, 10)});
  add_result(0.9, {bar(0, 10)});
  expect_parts(error(), {"results.json: result 0 (video 1): ", "2 frames", "got 1"});
  EXPECT_NEAR(stat("AP", {.compatible = true}), 1, 1e-12);  // the flaw of the reference
  truth_.annotations[0].occlusion = {Occlusion::kNone, Occlusion::kNone};
  expect_parts(error({.protocol = Protocol::kOvis, .compatible = true}), {"result 0", "got 1"});
  truth_.annotations[0].segmentations.pop_back();
  expect_parts(error(), {"gt.json: annotation 1 (video 1): ", "2 frames", "got 1"});
}

TEST_F(Score, RefusesMasksOfAnotherSizeThanTheVideo) {
  add_truth({bar(0, 10), bar(0, 10)});
  add_result(0.9, {bar(0, 10), box_rle(5, 50, 0, 0, 1, 1)});
  expect_parts(error(), {"result 0 (video 1): frame 1: ", "10 x 100", "got 5 x 50"});
  EXPECT_NEAR(stat("AP", {.compatible = true}), 1, 1e-12);
}

TEST_F(Score, RefusesUnknownVideosAndCategories) {
  add_truth({bar(0, 10), bar(0, 10)});
  add_result(0.9, {bar(0, 10), bar(0, 10)});
  results_.tracks[0].category_id = 6;
  expect_parts(error(), {"result 0 (video 1): ", "'category_id'", "got 6", "Known: 5"});
  EXPECT_EQ(stat("AP", {.compatible = true}), 0);
  results_.tracks[0].video_id = 2;
  expect_parts(error({.compatible = true}),
               {"result 0 (video 2): ", "'video_id'", "gt.json", "got 2"});
}

TEST_F(Score, RefusesBrokenTracksFromMemory) {
  add_truth({bar(0, 10), bar(0, 10)});
  add_result(std::numeric_limits<double>::quiet_NaN(), {bar(0, 10), bar(0, 10)});
  expect_parts(error({.compatible = true}), {"result 0", "'score'", "finite", "nan"});
  results_.tracks[0].score = 1;
  results_.tracks[0].segmentations[1]->counts.clear();
  expect_parts(error({.compatible = true}), {"result 0 (video 1): frame 1: ", "at least one run"});
}

TEST_F(Score, RefusesOvisWithoutOcclusion) {
  add_truth({bar(0, 10), bar(0, 10)});
  expect_parts(error({.protocol = Protocol::kOvis}), {"annotation 1", "'occlusion'", "ytvis"});
}

TEST_F(Score, NamesTheFirstErrorWhateverTheThreads) {
  for (int i = 0; i < 200; ++i) add_result(0.9, {bar(0, 10), bar(0, 10)}, i < 60 ? 1 : 2);
  for (int i = 0; i < 20; ++i) {
    expect_parts(error({.num_threads = 4}), {"result 60 (video 2)"});
  }
}

TEST(ScoreNames, AreChecked) {
  EXPECT_EQ(protocol_from_name("ovis"), Protocol::kOvis);
  expect_parts(error_of<ConfigError>([] { protocol_from_name("coco"); }),
               {"ytvis or ovis", "coco"});
  const ScoreResult result{.stats = {{"AP", 1}, {"AP50", 1}}, .categories = {}};
  expect_parts(error_of<ConfigError>([&] { result.stat("AP51"); }), {"'AP51'", "AP50"});
}

}  // namespace
}  // namespace tessera::evaluation
