#pragma once

#include <cstdint>
#include <vector>

#include "launcher/training/optimiser.h"
#include "launcher/training/train_options.h"

namespace tessera {

/// The length that `options` state. `iterations_per_epoch` need not be whole: clips are taken from
/// one stream, so a batch may hold the end of an epoch and the beginning of the next. Throws
/// DataError where there is no clip, ConfigError for a schedule that does not fit the length.
ScheduleLength schedule_length(const TrainOptions& options, double iterations_per_epoch);

/// The factor on every learning rate in the step that `iteration` steps went before: zero for
/// `wait_iterations`, then warm-up times curve. Pure.
double schedule_factor(const ScheduleOptions& options, const ScheduleLength& length,
                       int64_t iteration);

/// The schedules of a network: its own, and those that groups of parameters name.
struct Schedules {
  ScheduleOptions own;
  TableOf<ScheduleOptions> named{};

  /// One of `named`. Throws ConfigError for another name, which stands at `key`.
  const ScheduleOptions& expect(const std::string& name, const std::string& key) const;
  /// The factor of each group.
  std::vector<double> factors(const std::vector<ParameterGroup>& groups,
                              const ScheduleLength& length, int64_t iteration) const;
};

}  // namespace tessera
