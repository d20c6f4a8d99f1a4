#include "launcher/training/schedule.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using test_support::expect_error;

TrainOptions epochs(int64_t count, ScheduleOptions schedule) {
  TrainOptions options;
  options.epochs = count;
  options.schedule = std::move(schedule);
  return options;
}

double factor(const TrainOptions& options, double per_epoch, int64_t iteration) {
  return schedule_factor(options.schedule, ScheduleLength::of(options, per_epoch), iteration);
}

TEST(Schedule, StaysConstant) {
  const TrainOptions options = epochs(3, {});
  EXPECT_EQ(factor(options, 10, 0), 1.0);
  EXPECT_EQ(factor(options, 10, 29), 1.0);
}

TEST(Schedule, DropsAtEpochsOfVisTR) {  // 18 epochs, times 0.1 from the beginning of epoch 12
  const TrainOptions options = epochs(18, {.kind = "multi_step", .drops = {12}});
  EXPECT_EQ(ScheduleLength::of(options, 100).iterations, 1800);
  EXPECT_EQ(factor(options, 100, 1199), 1.0);
  EXPECT_DOUBLE_EQ(factor(options, 100, 1200), 0.1);
  EXPECT_DOUBLE_EQ(factor(options, 100, 1799), 0.1);
}

TEST(Schedule, DropsAtIterationsWhereTheLengthIsInIterations) {  // Mask2Former-VIS
  TrainOptions options;
  options.iterations = 6000;
  options.schedule = {.kind = "multi_step", .drops = {4000, 5000}, .factor = 0.5};
  EXPECT_EQ(factor(options, 7.25, 3999), 1.0);
  EXPECT_EQ(factor(options, 7.25, 4000), 0.5);
  EXPECT_EQ(factor(options, 7.25, 5000), 0.25);
}

TEST(Schedule, DropsEveryPeriod) {
  const TrainOptions options = epochs(10, {.kind = "step", .drops = {2}, .factor = 0.5});
  EXPECT_EQ(factor(options, 4.5, 8), 1.0);  // the period is 9 iterations
  EXPECT_EQ(factor(options, 4.5, 9), 0.5);
  EXPECT_EQ(factor(options, 4.5, 17), 0.5);
  EXPECT_EQ(factor(options, 4.5, 18), 0.25);
}

TEST(Schedule, FollowsACosine) {
  TrainOptions options;
  options.iterations = 100;
  options.schedule = {.kind = "cosine", .minimum_factor = 0.2};
  EXPECT_DOUBLE_EQ(factor(options, 1, 0), 1.0);
  EXPECT_NEAR(factor(options, 1, 50), 0.6, 1e-12);
  EXPECT_NEAR(factor(options, 1, 25), 0.2 + 0.8 * 0.85355339059327, 1e-12);
  EXPECT_DOUBLE_EQ(factor(options, 1, 100), 0.2);
}

TEST(Schedule, WarmsUpTimesTheRest) {
  const TrainOptions options = epochs(
      2, {.kind = "multi_step", .drops = {1}, .warmup_iterations = 20, .warmup_factor = 0.1});
  EXPECT_DOUBLE_EQ(factor(options, 10, 0), 0.1);
  EXPECT_DOUBLE_EQ(factor(options, 10, 5), 0.1 * 0.75 + 0.25);
  EXPECT_DOUBLE_EQ(factor(options, 10, 10), 0.1 * 0.55);
  EXPECT_EQ(factor(options, 100, 20), 1.0);
}

TEST(Schedule, RoundsAPartOfAnIterationUp) {
  EXPECT_EQ(ScheduleLength::of(epochs(3, {}), 2.5).iterations, 8);
  EXPECT_EQ(ScheduleLength::of(epochs(1, {}), 0.25).iterations, 1);
  EXPECT_EQ(ScheduleLength::of(epochs(3, {}), 10.0 / 3.0).iterations, 10);
}

TEST(Schedule, NeedsClips) {
  expect_error<DataError>([] { ScheduleLength::of(epochs(1, {}), 0); }, {"training clip"});
}

}  // namespace
}  // namespace tessera
