#include <algorithm>
#include <cmath>
#include <numbers>

#include "launcher/training/schedules/schedule_curve.h"

namespace tessera {
namespace {

struct Cosine final : ScheduleCurve {
  double minimum_factor = 0.0;

  static void describe(Schema<Cosine>& schema) {
    schema.field("minimum_factor", &Cosine::minimum_factor, "Factor at the end.").between(0, 1);
  }
  double factor(const ScheduleLength& length, int64_t iteration, int64_t) const override {
    const double part =
        std::min(1.0, static_cast<double>(iteration) /
                          static_cast<double>(std::max<int64_t>(1, length.iterations)));
    const double wave = 0.5 * (1.0 + std::cos(std::numbers::pi * part));
    return minimum_factor + (1.0 - minimum_factor) * wave;
  }
};

}  // namespace

OptionKind<ScheduleCurve> cosine_kind() {
  return kind_of<ScheduleCurve, Cosine>(
      "cosine", "Half a cosine from 1 to minimum_factor over the whole length, warm-up included.");
}

}  // namespace tessera
