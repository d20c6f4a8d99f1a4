#include "launcher/training/schedule.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace tessera {
namespace {

double warmup(const ScheduleOptions& options, int64_t iteration) {
  if (iteration < options.wait_iterations) return 0.0;
  const int64_t done = iteration - options.wait_iterations;
  if (done >= options.warmup_iterations) return 1.0;
  const double part = static_cast<double>(done) / static_cast<double>(options.warmup_iterations);
  return options.warmup_factor * (1.0 - part) + part;
}

}  // namespace

ScheduleLength schedule_length(const TrainOptions& options, double iterations_per_epoch) {
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
  options.schedule.kind->check(length);
  for (const auto& [name, schedule] : options.schedules) schedule.kind->check(length);
  return length;
}

double schedule_factor(const ScheduleOptions& options, const ScheduleLength& length,
                       int64_t iteration) {
  const int64_t warm = options.wait_iterations + options.warmup_iterations;
  return warmup(options, iteration) * options.kind->factor(length, iteration, warm);
}

const ScheduleOptions& Schedules::expect(const std::string& name, const std::string& key) const {
  std::vector<std::string> names;
  for (const auto& [known, schedule] : named) {
    if (known == name) return schedule;
    names.push_back(known);
  }
  throw ConfigError(key + ": expected one of train.schedules" +
                    (names.empty() ? "" : " (" + join(names) + ")") + ", got '" + name + "'." +
                    suggestion(name, names));
}

std::vector<double> Schedules::factors(const std::vector<ParameterGroup>& groups,
                                       const ScheduleLength& length, int64_t iteration) const {
  std::vector<double> factors;
  for (const ParameterGroup& group : groups)
    factors.push_back(schedule_factor(
        group.schedule.empty() ? own : expect(group.schedule, "schedule"), length, iteration));
  return factors;
}

}  // namespace tessera
