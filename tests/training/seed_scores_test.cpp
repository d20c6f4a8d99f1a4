#include "launcher/training/seed_scores.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

TEST(SeedScores, HaveTheDeviationOfASample) {
  const ScoreStatistics three = statistics_of({{1, 0.1}, {2, 0.2}, {3, 0.6}});
  EXPECT_NEAR(three.mean, 0.3, 1e-12);
  EXPECT_NEAR(three.deviation, std::sqrt((0.04 + 0.01 + 0.09) / 2), 1e-12);
  EXPECT_EQ(statistics_of({{4, 0.5}}).deviation, 0.0);
}

TEST(SeedScores, AreWrittenWithTheirSeeds) {
  const test_support::TemporaryFolder folder;
  const auto file = folder / "seeds.json";
  write_seed_scores(file, {{7, 0.25}, {8, 0.75}});
  std::ifstream stream(file);
  const auto json = nlohmann::json::parse(stream);
  EXPECT_EQ(json["mean"], 0.5);
  EXPECT_EQ(json["runs"][1]["seed"], 8);
  EXPECT_EQ(json["runs"][1]["score"], 0.75);
}

}  // namespace
}  // namespace tessera
