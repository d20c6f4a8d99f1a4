#include "launcher/training/schedules/drops.h"

namespace tessera {
namespace {

struct Step final : Drops {
  static void describe(Schema<Step>& schema) {
    describe_drops(schema,
                   "One number, the period between drops: in epochs if train.epochs is given, in "
                   "iterations if train.iterations is.");
    schema.validate([](const Step& step) {
      if (step.at.size() != 1)
        throw ConfigError("drops: expected one number (the period) for kind = \"step\", got " +
                          std::to_string(step.at.size()) + " numbers.");
    });
  }
  void check(const ScheduleLength& length) const override {
    if (first_iteration(length, at.at(0)) < 1)
      throw ConfigError(
          "train.schedule.drops: expected a period of at least one iteration, got less.");
  }
  int64_t drops_before(const ScheduleLength& length, int64_t iteration) const override {
    int64_t count = 0;
    while (iteration >= first_iteration(length, at.at(0) * static_cast<double>(count + 1))) ++count;
    return count;
  }
};

}  // namespace

OptionKind<ScheduleCurve> step_kind() {
  return kind_of<ScheduleCurve, Step>("step", "Times factor after every period.");
}

}  // namespace tessera
