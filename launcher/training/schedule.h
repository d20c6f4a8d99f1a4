#pragma once

#include <cstdint>

#include "launcher/training/train_options.h"

namespace tessera {

/// How long a run is, in optimiser steps.
struct ScheduleLength {
  double iterations_per_epoch = 1;  // samples of an epoch / total batch
  int64_t iterations = 0;           // of the whole run
  double iterations_per_drop = 1;   // what one unit of ScheduleOptions::drops is

  /// The length that `options` state. `iterations_per_epoch` need not be whole: clips are taken
  /// from one stream, so a batch may hold the end of an epoch and the beginning of the next.
  static ScheduleLength of(const TrainOptions& options, double iterations_per_epoch);
};

/// The factor on every learning rate in the step that `iteration` steps went before. Pure.
double schedule_factor(const ScheduleOptions& options, const ScheduleLength& length,
                       int64_t iteration);

}  // namespace tessera
