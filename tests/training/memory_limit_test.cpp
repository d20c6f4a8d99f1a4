#include "launcher/training/memory_limit.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace tessera {
namespace {

TEST(MemorySize, IsANumberWithAUnit) {
  EXPECT_EQ(parse_memory_size("11GB"), 11'000'000'000);
  EXPECT_EQ(parse_memory_size("1.5 GiB"), 1'610'612'736);
  EXPECT_EQ(parse_memory_size(" 900MB "), 900'000'000);
  EXPECT_EQ(parse_memory_size("2MiB"), 2'097'152);
  for (const char* wrong : {"", "11", "11gb", "-1GB", "1e3GB", "GB", "11GB or so"})
    EXPECT_THROW(parse_memory_size(wrong), ConfigError) << wrong;
  EXPECT_EQ(memory_size_text(11'250'000'000), "11.25 GB");
}

/// A step whose parts cost what is known; counts the trials.
struct KnownStep {
  static constexpr int64_t kBase = 400, kMasks = 100, kEncoder = 200, kBackbone = 300;
  int trials = 0;

  StepCost operator()(const Recomputed& what) {
    ++trials;
    StepCost cost{1.0, kBase};
    cost.peak_bytes += what.masks ? 0 : kMasks;
    cost.peak_bytes += what.encoder ? 0 : kEncoder;
    cost.peak_bytes += what.backbone ? 0 : kBackbone;
    if (what.mask_rows > 0) cost.peak_bytes -= 80 / what.mask_rows;
    cost.seconds += (what.masks ? 0.1 : 0) + (what.encoder ? 0.2 : 0) + (what.backbone ? 0.5 : 0);
    return cost;
  }
};

struct Case {
  int64_t limit;
  const char* recomputed;
};

class ChosenRecomputation : public testing::TestWithParam<Case> {};

TEST_P(ChosenRecomputation, IsTheFastestThatFits) {
  KnownStep step;
  const ChosenStep chosen = choose_recomputed(GetParam().limit, 8, std::ref(step));
  EXPECT_EQ(text_of(chosen.recomputed), GetParam().recomputed);
  EXPECT_LE(chosen.cost.peak_bytes, GetParam().limit);
}

INSTANTIATE_TEST_SUITE_P(
    Limits, ChosenRecomputation,
    testing::Values(Case{1000, "nothing"}, Case{999, "masks"}, Case{899, "encoder"},
                    Case{799, "encoder, masks"},  // not "backbone", which needs less and is slower
                    Case{699, "backbone, masks"}, Case{400, "backbone, encoder, masks"},
                    Case{381, "backbone, encoder, masks of 4 instance(s) at a time"},
                    Case{365, "backbone, encoder, masks of 2 instance(s) at a time"},
                    Case{320, "backbone, encoder, masks of 1 instance(s) at a time"}));

TEST(ChosenRecomputation, LetsNoClockPreferMoreWork) {
  double seconds = 9;  // each trial seems faster than the one before
  const auto step = [&](const Recomputed&) { return StepCost{seconds -= 1, 100}; };
  EXPECT_EQ(text_of(choose_recomputed(200, 1, step).recomputed), "nothing");
}

TEST(ChosenRecomputation, DoesNotTryWhatCannotFit) {
  KnownStep step;
  choose_recomputed(550, 8, std::ref(step));
  EXPECT_EQ(step.trials, 4);  // all, and all but one
}

TEST(ChosenRecomputation, SaysTheSmallestPeakWhereNothingFits) {
  try {
    choose_recomputed(3'000'000'000, 2, [](const Recomputed& what) {
      return StepCost{1, what.mask_rows == 1 ? 3'210'000'000 : 5'000'000'000};
    });
    FAIL() << "expected an error";
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("expected at least 3.21 GB"), std::string::npos) << text;
    EXPECT_NE(text.find("got 3.00 GB"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace tessera
