#include <algorithm>

#include "launcher/training/schedules/drops.h"

namespace tessera {
namespace {

struct MultiStep final : Drops {
  static void describe(Schema<MultiStep>& schema) {
    describe_drops(
        schema,
        "Where the rate drops, rising: in epochs if train.epochs is given, in iterations "
        "if train.iterations is.");
    schema.validate([](const MultiStep& curve) {
      if (curve.at.empty())
        throw ConfigError(
            "drops: expected at least one number for kind = \"multi_step\", got none.");
      for (size_t i = 1; i < curve.at.size(); ++i)
        if (curve.at[i] <= curve.at[i - 1])
          throw ConfigError("drops: expected rising numbers, got " +
                            to_toml_value(schema_of<MultiStep>().write(&curve)) + ".");
    });
  }
  int64_t drops_before(const ScheduleLength& length, int64_t iteration) const override {
    return std::count_if(at.begin(), at.end(),
                         [&](double drop) { return iteration >= first_iteration(length, drop); });
  }
};

}  // namespace

OptionKind<ScheduleCurve> multi_step_kind() {
  return kind_of<ScheduleCurve, MultiStep>("multi_step", "Times factor at each of drops.");
}

}  // namespace tessera
