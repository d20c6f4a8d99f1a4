#pragma once

#include <cstdint>
#include <vector>

#include "core/config/kinds.h"

namespace tessera {

/// How long a run is, in optimiser steps.
struct ScheduleLength {
  double iterations_per_epoch = 1;  // samples of an epoch / total batch
  int64_t iterations = 0;           // of the whole run
  double iterations_per_drop = 1;   // what one unit of a drop is
};

/// How the learning rate falls once it is warm: `train.schedule.kind`. A curve is its own options.
class ScheduleCurve {
 public:
  virtual ~ScheduleCurve() = default;
  /// All curves, the default first.
  static const std::vector<OptionKind<ScheduleCurve>>& kinds();

  /// The factor in the step that `iteration` steps went before; `warm` is the first iteration after
  /// the warm-up. Pure.
  virtual double factor(const ScheduleLength& length, int64_t iteration, int64_t warm) const = 0;
  /// Where the rate drops, in the unit of ScheduleLength::iterations_per_drop.
  virtual std::vector<double> drops() const { return {}; }
  /// Throws ConfigError for options that do not fit a run of that length.
  virtual void check(const ScheduleLength&) const {}
};

/// The curves of the list, each with its options and its schema in the file of its name.
OptionKind<ScheduleCurve> constant_kind();
OptionKind<ScheduleCurve> step_kind();
OptionKind<ScheduleCurve> multi_step_kind();
OptionKind<ScheduleCurve> cosine_kind();
OptionKind<ScheduleCurve> polynomial_kind();

}  // namespace tessera
