// What a sweep's file may say, which runs it means, and the table of what they came to.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "launcher/sweep/sweep_file.h"
#include "launcher/sweep/sweep_table.h"

namespace tessera::sweep {
namespace {

namespace fs = std::filesystem;

class Sweep : public testing::Test {
 protected:
  Sweep() : registry_(Registry::default_search_paths()) {
    folder_ =
        fs::path(testing::TempDir()) /
        (std::string("sweep-") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  ~Sweep() override { fs::remove_all(folder_); }

  SweepFile read(const std::string& text) {
    const fs::path file = folder_ / "sweep.toml";
    std::ofstream(file) << "experiment = \"" << TESSERA_SOURCE_DIR
                        << "/experiments/smoke/vistr.toml\"\n"
                        << text;
    return read_sweep(file);
  }
  std::string error_of(const std::string& text) {
    try {
      plan_runs(read(text), registry_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  Registry registry_;
  fs::path folder_;
};

const std::string kTwo =
    "set = [\"train.evaluate_every=10\"]\nseeds = 2\n"
    "[[variants]]\nname = \"a\"\n[[variants]]\nname = \"b\"\n";

TEST_F(Sweep, RunsEveryVariantWithEverySeed) {
  const auto runs = plan_runs(read(kTwo + "set = [\"train.optimiser.lr=0.5\"]\n"), registry_);
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(runs[0].folder(), fs::path("a/seed-1"));
  EXPECT_EQ(runs[3].folder(), fs::path("b/seed-2"));
  EXPECT_NE(runs[3].resolved.find("lr = 0.5"), std::string::npos);
  EXPECT_EQ(runs[1].resolved.find("lr = 0.5"), std::string::npos);
  EXPECT_NE(runs[1].resolved.find("seed = 2"), std::string::npos);
}

TEST_F(Sweep, RefusesAnotherBudgetOrOtherData) {
  EXPECT_NE(error_of(kTwo + "set = [\"train.iterations=7\"]\n").find("train.iterations"),
            std::string::npos);
  EXPECT_NE(
      error_of(kTwo + "set = [\"data.min_visible_pixels=7\"]\n").find("data.min_visible_pixels"),
      std::string::npos);
  EXPECT_EQ(error_of("differ = [\"data.min_visible_pixels\"]\n" + kTwo +
                     "set = [\"data.min_visible_pixels=7\"]\n"),
            "");
}

TEST_F(Sweep, RefusesWhatHasNoScore) {
  EXPECT_NE(error_of("[[variants]]\nname = \"a\"\nset = [\"train.evaluate_every=0\"]\n")
                .find("evaluate_every"),
            std::string::npos);
}

TEST_F(Sweep, RefusesNamesThatAreNoFolders) {
  for (const char* names : {"a/b", "..", ""})
    EXPECT_NE(error_of(std::string("[[variants]]\nname = \"") + names + "\"\n"), "") << names;
  EXPECT_NE(error_of("[[variants]]\nname = \"a\"\n[[variants]]\nname = \"a\"\n").find("twice"),
            std::string::npos);
}

TEST_F(Sweep, ShowsMeanAndDeviationOfCompleteRuns) {
  const SweepFile sweep = read(kTwo);
  const std::vector<RunScore> scores{{"a", 1, 0.2, 0.4, 10, ""}, {"a", 2, 0.4, 0.4, 20, ""}};
  const std::string table = markdown_table(sweep, scores);
  EXPECT_NE(table.find("| a | 30.0 ± 14.1 | 40.0 ± 0.0 | 2 | 15 |"), std::string::npos) << table;
  EXPECT_NE(table.find("| b | - | - | 0 | - |"), std::string::npos) << table;
  EXPECT_NE(html_plot(sweep, scores).find("<svg"), std::string::npos);
}

TEST_F(Sweep, KnowsACompleteRunAgain) {
  EXPECT_FALSE(read_score(folder_));
  write_score(folder_, {"a", 3, 0.25, 0.5, 12, "seed = 3\n"});
  const auto score = read_score(folder_);
  ASSERT_TRUE(score);
  EXPECT_EQ(score->seed, 3);
  EXPECT_EQ(score->ap, 0.25);
  EXPECT_EQ(score->resolved, "seed = 3\n");
  std::ofstream(folder_ / "score.json") << "{}";
  EXPECT_THROW(read_score(folder_), DataError);
}

TEST_F(Sweep, EveryShippedFileMeansRunsOfEqualBudget) {
  int count = 0;
  for (const auto& file :
       fs::directory_iterator(fs::path(TESSERA_SOURCE_DIR) / "experiments" / "sweeps")) {
    if (file.path().extension() != ".toml") continue;
    SCOPED_TRACE(file.path().filename().string());
    const SweepFile sweep = read_sweep(file.path());
    EXPECT_EQ(plan_runs(sweep, registry_).size(), sweep.variants.size() * 3);
    ++count;
  }
  EXPECT_EQ(count, 8);
}

}  // namespace
}  // namespace tessera::sweep
