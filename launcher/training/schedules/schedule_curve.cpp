#include "launcher/training/schedules/schedule_curve.h"

namespace tessera {

const std::vector<OptionKind<ScheduleCurve>>& ScheduleCurve::kinds() {
  static const std::vector<OptionKind<ScheduleCurve>> kinds{
      constant_kind(), step_kind(), multi_step_kind(), cosine_kind(), polynomial_kind()};
  return kinds;
}

}  // namespace tessera
