#include "launcher/training/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "tests/support/read_options.h"
#include "tests/training/temporary_folder.h"

namespace tessera {
namespace {

using test_support::expect_error;

ScheduleOptions read_schedule(const std::string& toml) {
  return test_support::read_options<ScheduleOptions>(toml, "train.schedule");
}

TrainOptions epochs(int64_t count, ScheduleOptions schedule) {
  TrainOptions options;
  options.epochs = count;
  options.schedule = std::move(schedule);
  return options;
}

double factor(const TrainOptions& options, double per_epoch, int64_t iteration) {
  return schedule_factor(options.schedule, schedule_length(options, per_epoch), iteration);
}

TEST(Schedule, StaysConstant) {
  const TrainOptions options = epochs(3, {});
  EXPECT_EQ(factor(options, 10, 0), 1.0);
  EXPECT_EQ(factor(options, 10, 29), 1.0);
}

TEST(Schedule, DropsAtEpochsOfVisTR) {  // 18 epochs, times 0.1 from the beginning of epoch 12
  const TrainOptions options = epochs(18, read_schedule("kind = \"multi_step\"\ndrops = [12]"));
  EXPECT_EQ(schedule_length(options, 100).iterations, 1800);
  EXPECT_EQ(factor(options, 100, 1199), 1.0);
  EXPECT_DOUBLE_EQ(factor(options, 100, 1200), 0.1);
  EXPECT_DOUBLE_EQ(factor(options, 100, 1799), 0.1);
}

TEST(Schedule, DropsAtIterationsWhereTheLengthIsInIterations) {  // Mask2Former-VIS
  TrainOptions options;
  options.iterations = 6000;
  options.schedule = read_schedule("kind = \"multi_step\"\ndrops = [4000, 5000]\nfactor = 0.5");
  EXPECT_EQ(factor(options, 7.25, 3999), 1.0);
  EXPECT_EQ(factor(options, 7.25, 4000), 0.5);
  EXPECT_EQ(factor(options, 7.25, 5000), 0.25);
}

TEST(Schedule, DropsEveryPeriod) {
  const TrainOptions options =
      epochs(10, read_schedule("kind = \"step\"\ndrops = [2]\nfactor = 0.5"));
  EXPECT_EQ(factor(options, 4.5, 8), 1.0);  // the period is 9 iterations
  EXPECT_EQ(factor(options, 4.5, 9), 0.5);
  EXPECT_EQ(factor(options, 4.5, 17), 0.5);
  EXPECT_EQ(factor(options, 4.5, 18), 0.25);
}

TEST(Schedule, FollowsACosine) {
  TrainOptions options;
  options.iterations = 100;
  options.schedule = read_schedule("kind = \"cosine\"\nminimum_factor = 0.2");
  EXPECT_DOUBLE_EQ(factor(options, 1, 0), 1.0);
  EXPECT_NEAR(factor(options, 1, 50), 0.6, 1e-12);
  EXPECT_NEAR(factor(options, 1, 25), 0.2 + 0.8 * 0.85355339059327, 1e-12);
  EXPECT_DOUBLE_EQ(factor(options, 1, 100), 0.2);
}

TEST(Schedule, WarmsUpTimesTheRest) {
  const TrainOptions options = epochs(
      2, read_schedule(
             "kind = \"multi_step\"\ndrops = [1]\nwarmup_iterations = 20\nwarmup_factor = 0.1"));
  EXPECT_DOUBLE_EQ(factor(options, 10, 0), 0.1);
  EXPECT_DOUBLE_EQ(factor(options, 10, 5), 0.1 * 0.75 + 0.25);
  EXPECT_DOUBLE_EQ(factor(options, 10, 10), 0.1 * 0.55);
  EXPECT_EQ(factor(options, 100, 20), 1.0);
}

TEST(Schedule, FollowsAPolynomial) {
  TrainOptions options;
  options.iterations = 100;
  options.schedule = read_schedule("kind = \"polynomial\"\npower = 2.0\nend_factor = 0.1");
  EXPECT_DOUBLE_EQ(factor(options, 1, 0), 1.0);
  EXPECT_DOUBLE_EQ(factor(options, 1, 50), 0.1 + 0.9 * 0.25);
  EXPECT_DOUBLE_EQ(factor(options, 1, 99), 0.1 + 0.9 * 0.0001);
  EXPECT_DOUBLE_EQ(factor(options, 1, 100), 0.1);
  options.schedule = read_schedule("kind = \"polynomial\"");  // the power of the field, 0.9
  EXPECT_DOUBLE_EQ(factor(options, 1, 75), std::pow(0.25, 0.9));
  EXPECT_EQ(factor(options, 1, 100), 0.0);
}

// Two phases: this group stands still for 10 iterations, rises over 20, then falls over the
// other 70.
TEST(Schedule, WaitsThenWarmsUpThenFalls) {
  TrainOptions options;
  options.iterations = 100;
  options.schedule = read_schedule(
      "kind = \"polynomial\"\npower = 0.9\nwait_iterations = 10\nwarmup_iterations = 20\n"
      "warmup_factor = 0");
  EXPECT_EQ(factor(options, 1, 0), 0.0);
  EXPECT_EQ(factor(options, 1, 9), 0.0);
  EXPECT_EQ(factor(options, 1, 10), 0.0);  // the warm-up begins at its factor
  EXPECT_DOUBLE_EQ(factor(options, 1, 11), 0.05);
  EXPECT_DOUBLE_EQ(factor(options, 1, 29), 0.95);
  EXPECT_EQ(factor(options, 1, 30), 1.0);
  EXPECT_DOUBLE_EQ(factor(options, 1, 65), std::pow(0.5, 0.9));
  EXPECT_NEAR(factor(options, 1, 99), std::pow(1.0 / 70, 0.9), 1e-14);
}

TEST(Schedule, FallsFromTheFirstIterationAsWarmupPolyLRDoes) {
  TrainOptions options;
  options.iterations = 100;
  options.schedule = read_schedule(
      "kind = \"polynomial\"\npower = 1.0\nafter_warmup = false\nwarmup_iterations = 10\n"
      "warmup_factor = 0.1");
  EXPECT_DOUBLE_EQ(factor(options, 1, 0), 0.1);
  EXPECT_DOUBLE_EQ(factor(options, 1, 5), 0.55 * 0.95);
  EXPECT_DOUBLE_EQ(factor(options, 1, 10), 0.9);
}

TEST(Schedule, IsThatOfTheGroup) {
  TrainOptions options;
  options.iterations = 100;
  const Schedules schedules{read_schedule("kind = \"polynomial\"\npower = 1.0"),
                            {{"late", read_schedule("kind = \"constant\"\nwait_iterations = 20")}}};
  std::vector<ParameterGroup> groups(2);
  groups[1].schedule = "late";
  const ScheduleLength length = schedule_length(options, 1);
  EXPECT_EQ(schedules.factors(groups, length, 10), (std::vector<double>{0.9, 0.0}));
  EXPECT_EQ(schedules.factors(groups, length, 50), (std::vector<double>{0.5, 1.0}));
}

TEST(Schedule, RefusesAPeriodBelowAnIteration) {
  expect_error<ConfigError>(
      [] { schedule_length(epochs(3, read_schedule("kind = \"step\"\ndrops = [0.1]")), 2.0); },
      {"train.schedule.drops", "at least one iteration"});
}

TEST(Schedule, RoundsAPartOfAnIterationUp) {
  EXPECT_EQ(schedule_length(epochs(3, {}), 2.5).iterations, 8);
  EXPECT_EQ(schedule_length(epochs(1, {}), 0.25).iterations, 1);
  EXPECT_EQ(schedule_length(epochs(3, {}), 10.0 / 3.0).iterations, 10);
}

TEST(Schedule, NeedsClips) {
  expect_error<DataError>([] { schedule_length(epochs(1, {}), 0); }, {"training clip"});
}

}  // namespace
}  // namespace tessera
