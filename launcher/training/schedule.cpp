#include "launcher/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace tessera {
namespace {

/// Drops that `iteration` is past; a drop counts from its nearest whole iteration on.
int64_t drops_before(const ScheduleOptions& options, const ScheduleLength& length,
                     int64_t iteration) {
  auto first_iteration = [&](double drop) {
    return std::llround(drop * length.iterations_per_drop);
  };
  if (options.kind == "multi_step")
    return std::count_if(options.drops.begin(), options.drops.end(),
                         [&](double drop) { return iteration >= first_iteration(drop); });
  const double period = options.drops.at(0);
  int64_t count = 0;
  while (iteration >= first_iteration(period * static_cast<double>(count + 1))) ++count;
  return count;
}

double warmup(const ScheduleOptions& options, int64_t iteration) {
  if (iteration >= options.warmup_iterations) return 1.0;
  const double part =
      static_cast<double>(iteration) / static_cast<double>(options.warmup_iterations);
  return options.warmup_factor * (1.0 - part) + part;
}

double decay(const ScheduleOptions& options, const ScheduleLength& length, int64_t iteration) {
  if (options.kind == "constant") return 1.0;
  if (options.kind == "cosine") {
    const double part =
        std::min(1.0, static_cast<double>(iteration) /
                          static_cast<double>(std::max<int64_t>(1, length.iterations)));
    const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * part));
    return options.minimum_factor + (1.0 - options.minimum_factor) * wave;
  }
  return std::pow(options.factor, static_cast<double>(drops_before(options, length, iteration)));
}

}  // namespace

ScheduleLength ScheduleLength::of(const TrainOptions& options, double iterations_per_epoch) {
  if (!(iterations_per_epoch > 0))
    throw DataError("data: expected at least one training clip, got none.");
  ScheduleLength length;
  length.iterations_per_epoch = iterations_per_epoch;
  if (options.iterations) {
    length.iterations = *options.iterations;
    length.iterations_per_drop = 1;
  } else {
    const double exact = static_cast<double>(*options.epochs) * iterations_per_epoch;
    length.iterations = std::max<int64_t>(1, std::llround(std::ceil(exact - 1e-6)));
    length.iterations_per_drop = iterations_per_epoch;
  }
  if (options.schedule.kind == "step" &&
      std::llround(options.schedule.drops.at(0) * length.iterations_per_drop) < 1)
    throw ConfigError(
        "train.schedule.drops: expected a period of at least one iteration, got less.");
  return length;
}

double schedule_factor(const ScheduleOptions& options, const ScheduleLength& length,
                       int64_t iteration) {
  return warmup(options, iteration) * decay(options, length, iteration);
}

}  // namespace tessera
