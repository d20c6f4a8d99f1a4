#include <algorithm>
#include <cmath>

#include "launcher/training/schedules/schedule_curve.h"

namespace tessera {
namespace {

struct Polynomial final : ScheduleCurve {
  double power = 0.9;
  double end_factor = 0.0;
  bool after_warmup = true;

  static void describe(Schema<Polynomial>& schema) {
    schema
        .field("power", &Polynomial::power,
               "Power of the part of the length that is left; 1 is a straight line.")
        .more_than(0);
    schema.field("end_factor", &Polynomial::end_factor, "Factor at the end.").between(0, 1);
    schema.field("after_warmup", &Polynomial::after_warmup,
                 "Whether the decay begins when the warm-up has ended. Otherwise it begins at "
                 "iteration 0 and is multiplied by the warm-up, as in detectron2's WarmupPolyLR.");
  }
  double factor(const ScheduleLength& length, int64_t iteration, int64_t warm) const override {
    const int64_t begin = after_warmup ? warm : 0;
    const double done = static_cast<double>(iteration - begin) /
                        static_cast<double>(std::max<int64_t>(1, length.iterations - begin));
    const double left = 1.0 - std::clamp(done, 0.0, 1.0);
    return end_factor + (1.0 - end_factor) * std::pow(left, power);
  }
};

}  // namespace

OptionKind<ScheduleCurve> polynomial_kind() {
  return kind_of<ScheduleCurve, Polynomial>(
      "polynomial", "From 1 to end_factor by a power of the part of the length that is left.");
}

}  // namespace tessera
