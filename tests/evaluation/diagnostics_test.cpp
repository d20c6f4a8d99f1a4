// From files or memory to every group of numbers.

#include "launcher/evaluation/diagnostics/diagnostics.h"

#include <algorithm>
#include <limits>
#include <sstream>

#include "launcher/evaluation/diagnostics/hard_tracks.h"
#include "launcher/evaluation/diagnostics/tracking_sequence.h"
#include "launcher/evaluation/diagnostics/video_tracks.h"
#include "launcher/evaluation/report/score_csv.h"
#include "launcher/evaluation/report/score_json.h"
#include "launcher/evaluation/report/score_table.h"
#include "tests/evaluation/diagnostics_fixture.h"

namespace tessera::evaluation {
namespace {

using test_support::bar;
using test_support::error_of;
using test_support::expect_parts;
using test_support::kNoMask;

class Diagnose : public test_support::DiagnosticsTest {
 protected:
  VideoTracks load() const { return VideoLoader(truth_, Predictions(results_)).load(0); }
};

uint64_t pixels(const Masks& masks, size_t t) {
  return masks[t] ? data::area(*masks[t]) : 0;
}

// The object changes its prediction in the middle. Each prediction shares 2 of 4 frames: IoU 0.5,
// so the surer one is found at 0.50 only and the other is false. In windows of one frame all is
// right.
TEST_F(Diagnose, WindowsShowWhatAssociationCosts) {
  add_truth({bar(0, 10), bar(0, 10), bar(0, 10), bar(0, 10)});
  add_result(0.9, {bar(0, 10), bar(0, 10), kNoMask, kNoMask});
  add_result(0.8, {kNoMask, kNoMask, bar(0, 10), bar(0, 10)});
  EXPECT_NEAR(stat("windows", "AP_1"), 1, 1e-12);
  for (const char* name : {"AP_4", "AP_12", "AP_24", "AP_full"}) {
    EXPECT_NEAR(stat("windows", name), 0.1, 1e-12) << name;
  }
  EXPECT_NEAR(stat("windows", "AP50_full"), 1, 1e-12);
  EXPECT_EQ(stat("windows", "AP_1", 1), kUndefined);  // no goose
}

// Windows of 4 of a video of 6: frames 0 to 3 and 4 to 5. The object is in the second only; in the
// first nothing is asked for, and the prediction is only there in the second, too.
TEST_F(Diagnose, WindowsLeaveOutTracksThatAreNotThere) {
  truth_.videos[0].length = 6;
  add_truth({kNoMask, kNoMask, kNoMask, bar(0, 0), bar(0, 10), bar(0, 10)});
  add_result(0.5, {bar(0, 0), kNoMask, kNoMask, kNoMask, bar(0, 10), bar(0, 10)});
  // Surer, but of frames in which there is no object: false in the first window.
  add_result(0.9, {bar(0, 10), kNoMask, kNoMask, kNoMask, kNoMask, kNoMask});
  // Precision 1/2 wherever the surer one comes first.
  EXPECT_NEAR(stat("windows", "AP_4"), 0.5, 1e-12);
  // In single frames two right ones follow the false one: 1/2, then 2/3; envelope 2/3.
  EXPECT_NEAR(stat("windows", "AP_1"), 2. / 3, 1e-12);
}

TEST_F(Diagnose, FullWindowsAreApWhereNoTrackIsEmpty) {
  std::mt19937 random(3);
  for (int i = 0; i < 12; ++i) {
    const auto mask = [&] { return bar(random() % 50, 1 + random() % 50); };
    const int64_t category = 5 + i % 2;
    const Masks masks = {mask(), mask(), mask(), mask()};
    add_truth(masks, category);
    add_result(0.1 * static_cast<double>(random() % 10), {masks[0], masks[1], mask(), masks[3]},
               category);
  }
  EXPECT_GT(run().stat("AP"), 0.1);
  EXPECT_EQ(stat("windows", "AP_full"), run().stat("AP"));
  EXPECT_EQ(stat("oracle_AP", "as_it_is"), run().stat("AP"));
}

TEST_F(Diagnose, TracksAreOfSurePredictionsWithOneLabel) {
  const Masks one = {bar(0, 10), bar(0, 10), kNoMask, bar(0, 0)};
  add_result(0.3, one, 5);
  add_result(0.7, one, 6);                                       // a second label, surer
  add_result(0.29, {bar(50, 5), kNoMask, kNoMask, kNoMask}, 5);  // not sure enough
  add_result(0.9, {kNoMask, bar(0, 0), kNoMask, kNoMask}, 5);    // without a pixel
  const auto tracks = hard_tracks(load(), 0.3);
  ASSERT_EQ(tracks.size(), 1u);
  EXPECT_EQ(tracks[0].category, 1u);
}

TEST_F(Diagnose, GivesEachPixelToTheSurestTrack) {
  add_result(0.5, {bar(0, 20), bar(0, 20), bar(0, 20), kNoMask}, 5);
  add_result(0.9, {bar(10, 20), kNoMask, bar(0, 30), bar(0, 5)}, 6);
  add_result(0.4, {bar(25, 10), bar(15, 10), kNoMask, kNoMask}, 5);
  const auto tracks = hard_tracks(load(), 0.3);
  ASSERT_EQ(tracks.size(), 3u);
  EXPECT_EQ(tracks[0].masks[0], bar(10, 20));
  EXPECT_EQ(tracks[1].masks[0], bar(0, 10));
  EXPECT_EQ(tracks[2].masks[0], bar(30, 5));
  EXPECT_EQ(tracks[1].masks[1], bar(0, 20));
  EXPECT_EQ(tracks[2].masks[1], bar(20, 5));
  EXPECT_EQ(pixels(tracks[1].masks, 2), 0u);
}

TEST_F(Diagnose, LeavesOutMasksInCrowds) {
  add_truth({bar(0, 40), bar(0, 40), bar(0, 40), bar(0, 40)}).is_crowd = true;
  add_truth({bar(38, 10), bar(38, 10), bar(38, 10), bar(38, 10)});
  // 10 of 10 pixels in the crowd; 5 of 10 (not more than half); not in it; none.
  add_result(0.9, {bar(5, 10), bar(35, 10), bar(60, 10), kNoMask});
  const auto sequence = tracking_sequences(load(), 0.3).at(0);
  EXPECT_EQ(sequence.num_truths, 1u);
  EXPECT_TRUE(sequence.frames[0].predictions.empty());
  EXPECT_EQ(sequence.frames[1].predictions.size(), 1u);
  EXPECT_NEAR(sequence.frames[1].ious[0], 7. / 13, 1e-12);
  EXPECT_EQ(sequence.frames[2].predictions.size(), 1u);
}

TEST_F(Diagnose, AveragesOverCategoriesWithGroundTruth) {
  add_truth({bar(0, 10), bar(0, 10), bar(0, 10), bar(0, 10)}, 5);
  add_truth({bar(50, 10), bar(50, 10), bar(50, 10), bar(50, 10)}, 6);
  add_result(0.9, {bar(0, 10), bar(0, 10), bar(0, 10), bar(0, 10)}, 5);
  EXPECT_NEAR(stat("tracking", "HOTA", 0), 1, 1e-12);
  EXPECT_EQ(stat("tracking", "HOTA", 1), 0);
  EXPECT_NEAR(stat("tracking", "HOTA"), 0.5, 1e-12);
  EXPECT_NEAR(stat("tracking", "IDF1"), 0.5, 1e-12);
  EXPECT_EQ(stat("identity", "switches_per_100_frames", 1), kUndefined);  // no frame matched
  EXPECT_EQ(stat("identity", "switches_per_100_frames"), 0);
  EXPECT_EQ(stat("identity", "matched_frames"), 4);
  EXPECT_EQ(stat("identity", "gap_recall"), kUndefined);
}

// Without the threshold the worse track would take the object's pixels.
TEST_F(Diagnose, TakesTheThreshold) {
  add_truth({bar(0, 10), bar(0, 10), bar(0, 10), bar(0, 10)});
  add_result(0.6, {bar(0, 10), bar(0, 10), bar(0, 10), bar(0, 10)});
  EXPECT_NEAR(run({.score_threshold = 0.6}).diagnostics->all[1].stats[0].value, 1, 1e-12);
  EXPECT_EQ(run({.score_threshold = 0.61}).diagnostics->all[1].stats[0].value, 0);
  EXPECT_EQ(run({.score_threshold = 0.61}).diagnostics->all[1].name, "tracking");
}

TEST_F(Diagnose, SplitsByTrackLength) {
  truth_.videos[0].length = 13;
  Masks shorter(13, bar(0, 10));
  shorter[12] = bar(0, 0);  // 12 frames with a pixel
  add_truth(shorter);
  add_result(0.9, shorter);
  add_truth(Masks(13, bar(50, 10)));
  add_result(0.95, Masks(13, bar(30, 10)));  // false, 13 frames: no matter for the short ones
  EXPECT_NEAR(stat("track_length", "AP_1_to_12"), 1, 1e-12);
  EXPECT_EQ(stat("track_length", "AP_13_to_24"), 0);
  EXPECT_EQ(stat("track_length", "AP_25_up"), kUndefined);
  EXPECT_EQ(stat("track_length", "tracks_1_to_12"), 1);
  EXPECT_EQ(stat("track_length", "tracks_13_to_24"), 1);
  EXPECT_EQ(stat("track_length", "tracks_25_up"), 0);
}

TEST_F(Diagnose, SplitsByOcclusionWhereItIsStated) {
  using data::Occlusion;
  const Masks masks(4, bar(0, 10));
  add_truth(masks);
  add_result(0.9, masks);
  const auto has_group = [&] { return run().diagnostics->all.back().name == "occlusion"; };
  EXPECT_FALSE(has_group());
  expect_parts(score_table(run(), false), {"does not state it"});
  truth_.annotations[0].occlusion = {Occlusion::kSevere, Occlusion::kSevere, std::nullopt,
                                     std::nullopt};
  EXPECT_TRUE(has_group());
  EXPECT_NEAR(stat("occlusion", "AP_heavy"), 1, 1e-12);
  EXPECT_EQ(stat("occlusion", "AP_light"), kUndefined);
  // The same as the protocol says.
  const auto ovis = score(truth_, results_, {.protocol = Protocol::kOvis});
  EXPECT_EQ(ovis.stat("AP_heavy"), stat("occlusion", "AP_heavy"));
}

TEST_F(Diagnose, DoesNotDependOnTheNumberOfThreads) {
  std::mt19937 random(7);
  for (int64_t video = 2; video < 14; ++video) {
    add_video(video, 4);
    for (int i = 0; i < 6; ++i) {
      const auto mask = [&] { return bar(random() % 50, 1 + random() % 50); };
      const Masks masks = {mask(), mask(), mask(), mask()};
      add_truth(masks, 5 + i % 2, video);
      add_result(0.1 * static_cast<double>(random() % 10), {masks[0], mask(), masks[2], mask()},
                 5 + i % 2, video);
    }
  }
  const auto csv = [&](size_t num_threads) {
    return score_csv(
        score(truth_, results_, {.num_threads = num_threads, .diagnose = DiagnosticOptions{}}));
  };
  const std::string expected = csv(1);
  for (const size_t num_threads : {2, 3, 8}) EXPECT_EQ(csv(num_threads), expected);
}

TEST_F(Diagnose, RefusesWhatHasNoMeaning) {
  ScoreOptions options{.compatible = true, .diagnose = DiagnosticOptions{}};
  const auto error = [&] {
    return error_of<ConfigError>([&] { score(truth_, results_, options); });
  };
  expect_parts(error(), {"--diagnose", "without --compatible"});
  options.compatible = false;
  options.diagnose->score_threshold = std::numeric_limits<double>::quiet_NaN();
  expect_parts(error(), {"--score-threshold", "finite", "nan"});
}

TEST_F(Diagnose, WritesEveryNumberEverywhere) {
  add_truth(Masks(4, bar(0, 10)));
  add_result(0.9, Masks(4, bar(0, 10)));
  const ScoreResult result = run();
  const auto json = test_support::Json::parse(score_json(result, Protocol::kYtvis));
  const std::string csv = score_csv(result);
  const std::string table = score_table(result, true);
  EXPECT_EQ(json["diagnostics"]["score_threshold"], 0.3);
  ASSERT_EQ(json["diagnostics"]["per_category"].size(), 2u);
  size_t count = 0;
  for (const DiagnosticGroup& group : result.diagnostics->all) {
    for (const DiagnosticStat& stat : group.stats) {
      EXPECT_EQ(json["diagnostics"][group.name][stat.name], stat.value);
      EXPECT_TRUE(json["diagnostics"]["per_category"][1][group.name].contains(stat.name));
      expect_parts(csv, {"," + group.name + "." + stat.name});
      expect_parts(table, {group.name, stat.name});
      ++count;
    }
  }
  EXPECT_EQ(count, 45u);
  // Header and rows have the same number of fields.
  const auto num_commas = [&](size_t row) {
    std::istringstream lines(csv);
    std::string line;
    for (size_t i = 0; i <= row; ++i) std::getline(lines, line);
    return std::count(line.begin(), line.end(), ',');
  };
  for (const size_t row : {1, 2, 3}) EXPECT_EQ(num_commas(row), num_commas(0));
}

}  // namespace
}  // namespace tessera::evaluation
