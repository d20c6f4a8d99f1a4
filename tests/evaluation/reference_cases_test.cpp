// The numbers of the reference scorer on the shared cases, to 1e-9.

#include <gtest/gtest.h>

#include "launcher/evaluation/score.h"
#include "tests/evaluation/fixture.h"

namespace tessera::evaluation {
namespace {

using test_support::Json;

constexpr double kTolerance = 1e-9;

struct Case {
  std::filesystem::path ground_truth;
  std::filesystem::path results;
  std::filesystem::path expected;
};

std::vector<Case> all_cases(const std::filesystem::path& folder) {
  std::vector<Case> cases;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    // One file holds six decimals of another tool.
    if (!name.starts_with("expected") || name == "expected_official.json") continue;
    const auto parent = entry.path().parent_path();
    cases.push_back({parent / "gt.json",
                     parent / ("results" + name.substr(std::string("expected").size())),
                     entry.path()});
  }
  return cases;
}

Json read_json(const std::filesystem::path& file) {
  return Json::parse(std::ifstream(file));
}

void expect_near(const Json& expected, const Json& got, const std::string& what) {
  ASSERT_EQ(expected.size(), got.size()) << what;
  if (!expected.is_array()) {
    EXPECT_NEAR(expected.get<double>(), got.get<double>(), kTolerance) << what;
    return;
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(expected[i].get<double>(), got[i].get<double>(), kTolerance) << what << " " << i;
  }
}

void expect_category(const Json& expected, const CategoryScore& got) {
  const std::string what = "category " + std::to_string(got.category_id) + " ";
  Json all = {{"category_id", got.category_id},
              {"num_gt", got.num_ground_truth},
              {"num_gt_occ", got.num_by_occlusion},
              {"ap_per_iou", got.ap_per_iou},
              {"recall_per_iou", got.recall_per_iou}};
  for (const Stat& stat : got.stats) all[stat.name] = stat.value;
  for (const auto& [key, value] : expected.items()) {
    ASSERT_TRUE(all.contains(key)) << key;
    expect_near(value, all[key], what + key);
  }
}

void expect_scores(const Json& expected, const ScoreResult& got) {
  ASSERT_EQ(expected["names"].size(), got.stats.size());
  for (size_t i = 0; i < got.stats.size(); ++i) {
    EXPECT_EQ(expected["names"][i], got.stats[i].name);
    EXPECT_NEAR(expected["stats"][i].get<double>(), got.stats[i].value, kTolerance)
        << got.stats[i].name;
  }
  ASSERT_EQ(expected["per_category"].size(), got.categories.size());
  for (size_t i = 0; i < got.categories.size(); ++i) {
    expect_category(expected["per_category"][i], got.categories[i]);
  }
}

/// Predictions of a video and category as the rows of the expected matrix: falling score.
std::vector<const ResultTrack*> ranked(const Results& results, int64_t video_id,
                                       int64_t category_id) {
  std::vector<const ResultTrack*> tracks;
  for (const ResultTrack& track : results.tracks) {
    if (track.video_id == video_id && track.category_id == category_id) tracks.push_back(&track);
  }
  std::stable_sort(tracks.begin(), tracks.end(),
                   [](const auto* a, const auto* b) { return a->score > b->score; });
  return tracks;
}

size_t expect_ious(const Json& expected, const data::AnnotationFile& truth,
                   const Results& results) {
  size_t num_compared = 0;
  for (const Json& cell : expected) {
    const int64_t video_id = cell["video_id"];
    const int64_t category_id = cell["category_id"];
    const auto tracks = ranked(results, video_id, category_id);
    for (size_t d = 0; d < cell["iou"].size(); ++d) {
      size_t g = 0;
      for (const data::Annotation& annotation : truth.annotations) {
        if (annotation.video_id != video_id || annotation.category_id != category_id) continue;
        EXPECT_NEAR(cell["iou"][d][g++].get<double>(),
                    track_iou(tracks[d]->segmentations, annotation.segmentations), kTolerance);
        ++num_compared;
      }
    }
  }
  return num_compared;
}

class ReferenceCases : public testing::Test {
 protected:
  void SetUp() override {
    const auto shared = test_support::shared_folder();
    if (shared.empty()) GTEST_SKIP() << "no shared data: set TESSERA_SHARED";
    cases_ = all_cases(shared / "eval");
    ASSERT_GE(cases_.size(), 30u);
  }

  std::vector<Case> cases_;
};

TEST_F(ReferenceCases, GiveTheSameNumbersWhenCompatible) {
  size_t num_refused = 0;
  for (const Case& one : cases_) {
    SCOPED_TRACE(one.expected.string());
    const auto truth = data::read_annotations(one.ground_truth, {.compatible = true});
    const Results results = read_results(one.results);
    const Json expected = read_json(one.expected);
    for (const char* name : {"ytvis", "ovis"}) {
      SCOPED_TRACE(name);
      const ScoreOptions options{.protocol = protocol_from_name(name), .compatible = true};
      if (expected[name].contains("error")) {
        const std::string error = test_support::error_of([&] { score(truth, results, options); });
        EXPECT_EQ(
            test_support::error_of([&] { score_files(one.ground_truth, one.results, options); }),
            error);
        ++num_refused;
        continue;
      }
      expect_scores(expected[name], score(truth, results, options));
      expect_scores(expected[name], score_files(one.ground_truth, one.results, options));
    }
  }
  EXPECT_EQ(num_refused, 5u);  // one of other lengths, four without occlusion
}

TEST_F(ReferenceCases, GiveTheSameOverlaps) {
  size_t num_compared = 0;
  for (const Case& one : cases_) {
    SCOPED_TRACE(one.expected.string());
    const Json expected = read_json(one.expected);
    if (!expected.contains("ious")) continue;
    const auto truth = data::read_annotations(one.ground_truth, {.compatible = true});
    num_compared += expect_ious(expected["ious"], truth, read_results(one.results));
  }
  EXPECT_GT(num_compared, 1000u);
}

// Without --compatible the scorer refuses the cases that the reference gets wrong, gives another
// number where an id is 0, and agrees everywhere else.
TEST_F(ReferenceCases, DifferOnlyWhereTheReferenceMisbehaves) {
  std::vector<std::string> refused;
  for (const Case& one : cases_) {
    const std::string folder = one.expected.parent_path().filename();
    SCOPED_TRACE(one.expected.string());
    try {
      const ScoreResult got =
          score(data::read_annotations(one.ground_truth), read_results(one.results));
      const Json expected = read_json(one.expected)["ytvis"];
      if (folder == "13_gt_id_zero") {
        EXPECT_GT(got.stat("AP"), expected["stats"][0].get<double>() + 0.01);
      } else {
        expect_scores(expected, got);
      }
    } catch (const DataError&) {
      refused.push_back(folder);
    }
  }
  std::sort(refused.begin(), refused.end());
  EXPECT_EQ(refused,
            (std::vector<std::string>{"08_empties", "11_length_mismatch", "12_size_mismatch"}));
}

}  // namespace
}  // namespace tessera::evaluation
