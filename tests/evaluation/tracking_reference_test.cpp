// Figures that an independent package gave for generated cases (tracking_cases.py), to 1e-9.

#include <gtest/gtest.h>

#include "launcher/evaluation/score.h"
#include "tests/evaluation/fixture.h"

namespace tessera::evaluation {
namespace {

using test_support::Json;

constexpr double kTolerance = 1e-9;

double stat_of(const std::vector<DiagnosticGroup>& groups, const std::string& name) {
  for (const DiagnosticGroup& group : groups) {
    if (group.name != "tracking" && group.name != "identity") continue;
    for (const DiagnosticStat& stat : group.stats) {
      if (stat.name == name) return stat.value;
    }
  }
  ADD_FAILURE() << "no " << name;
  return 0;
}

using TrackingReference = test_support::FolderTest;

TEST_F(TrackingReference, GivesTheSameFigures) {
  const Json document =
      Json::parse(std::ifstream(TESSERA_SOURCE_DIR "/tests/evaluation/tracking_cases.json"));
  ASSERT_EQ(document["cases"].size(), 8u);
  DiagnosticOptions options;
  options.score_threshold = document["score_threshold"];
  size_t num_compared = 0;
  for (const Json& one : document["cases"]) {
    SCOPED_TRACE("case " + std::to_string(&one - &document["cases"][0]));
    const ScoreResult result =
        score_files(write_json("gt.json", one["ground_truth"]),
                    write_json("results.json", one["results"]), {.diagnose = options});
    size_t num_with_truth = 0;
    double hota_sum = 0;
    for (size_t c = 0; c < result.categories.size(); ++c) {
      const std::string id = std::to_string(result.categories[c].category_id);
      const auto& groups = result.diagnostics->categories[c];
      if (!one["expected"].contains(id)) {
        EXPECT_EQ(stat_of(groups, "HOTA"), kUndefined) << id;
        continue;
      }
      ++num_with_truth;
      for (const auto& [name, expected] : one["expected"][id].items()) {
        EXPECT_NEAR(stat_of(groups, name), expected.get<double>(), kTolerance)
            << "category " << id << " " << name;
        ++num_compared;
      }
      hota_sum += one["expected"][id]["HOTA"].get<double>();
    }
    EXPECT_NEAR(stat_of(result.diagnostics->all, "HOTA"),
                hota_sum / static_cast<double>(num_with_truth), kTolerance);
  }
  EXPECT_EQ(num_compared, 90u);
}

}  // namespace
}  // namespace tessera::evaluation
