#pragma once

#include <vector>

#include "launcher/training/schedules/schedule_curve.h"

namespace tessera {

/// Options of the curves that multiply the rate by a factor now and then.
struct Drops : ScheduleCurve {
  std::vector<double> at{};
  double factor_of_a_drop = 0.1;

  std::vector<double> drops() const override { return at; }
  double factor(const ScheduleLength& length, int64_t iteration, int64_t warm) const override;
  /// Drops that `iteration` is past; a drop counts from its nearest whole iteration on.
  virtual int64_t drops_before(const ScheduleLength& length, int64_t iteration) const = 0;

  static int64_t first_iteration(const ScheduleLength& length, double drop);
};

/// The fields of Drops in the schema of `Curve`, with what `drops` means there.
template <class Curve>
void describe_drops(Schema<Curve>& schema, const std::string& drops) {
  schema.field("drops", &Curve::at, drops).more_than(0);
  schema.field("factor", &Curve::factor_of_a_drop, "Factor of each drop.").between(0, 1);
}

}  // namespace tessera
