#include <optional>

#include "core/augmentations/builtin_steps.h"
#include "core/augmentations/drawn_resize.h"
#include "core/interfaces/augmentation.h"
#include "core/plugin/plugin.h"

namespace tessera::augmentations {
namespace {

class Resize final : public Augmentation {
 public:
  struct Options {
    std::vector<int64_t> short_sides;
    std::optional<int64_t> max_side;
    static constexpr const char* kExample = "short_sides = [40, 56]";
    static void describe(Schema<Options>& schema) {
      schema.field("short_sides", &Options::short_sides, "Shorter sides to draw from, pixels.")
          .required()
          .at_least(1);
      schema.field("max_side", &Options::max_side, "Limit of the longer side, pixels.").at_least(1);
      schema.validate([](const Options& options) {
        if (options.short_sides.empty())
          throw ConfigError("short_sides: expected at least one size, got none.");
      });
    }
  };
  Resize(const Options& options, const BuildContext&) : options_(options) {}

  void plan(ClipPlan& clip, Random& random) const override {
    resize_to_drawn(clip, options_.short_sides, options_.max_side.value_or(0), random);
  }

 private:
  Options options_;
};

}  // namespace

const PluginDescriptor& resize() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Augmentation, Resize>("resize", "Resizes the clip to a drawn shorter side");
  return kDescriptor;
}

}  // namespace tessera::augmentations
