#include "launcher/training/schedules/drops.h"

#include <cmath>

namespace tessera {

int64_t Drops::first_iteration(const ScheduleLength& length, double drop) {
  return std::llround(drop * length.iterations_per_drop);
}

double Drops::factor(const ScheduleLength& length, int64_t iteration, int64_t) const {
  return std::pow(factor_of_a_drop, static_cast<double>(drops_before(length, iteration)));
}

}  // namespace tessera
