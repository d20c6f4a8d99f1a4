#include "launcher/training/schedules/schedule_curve.h"

namespace tessera {
namespace {

struct Constant final : ScheduleCurve {
  static void describe(Schema<Constant>&) {}
  double factor(const ScheduleLength&, int64_t, int64_t) const override { return 1.0; }
};

}  // namespace

OptionKind<ScheduleCurve> constant_kind() {
  return kind_of<ScheduleCurve, Constant>("constant", "The rate stays as it is.");
}

}  // namespace tessera
