#include <algorithm>
#include <optional>
#include <string>

#include "core/augmentations/builtin_steps.h"
#include "core/augmentations/drawn_resize.h"
#include "core/interfaces/augmentation.h"
#include "core/plugin/plugin.h"

namespace tessera::augmentations {
namespace {

class Crop final : public Augmentation {
 public:
  struct Options {
    std::vector<int64_t> short_sides;
    std::optional<int64_t> max_side;
    int64_t smallest = 1;
    int64_t largest = 1;
    static constexpr const char* kExample = "smallest = 24\nlargest = 48";
    static void describe(Schema<Options>& schema) {
      schema
          .field("short_sides", &Options::short_sides,
                 "Shorter sides to draw from, pixels: the clip is resized to one of them before "
                 "the crop. Empty: the crop is taken from the clip as it is.")
          .at_least(1);
      schema
          .field("max_side", &Options::max_side,
                 "Limit of the longer side after short_sides, pixels.")
          .at_least(1);
      schema
          .field("smallest", &Options::smallest,
                 "Smallest side of a crop, pixels; smaller frames keep their size.")
          .required()
          .at_least(1);
      schema.field("largest", &Options::largest, "Largest side of a crop, pixels.")
          .required()
          .at_least(1);
      schema.validate([](const Options& options) {
        if (options.max_side && options.short_sides.empty())
          throw ConfigError("max_side: expected short_sides beside it, got none. Add short_sides.");
        if (options.smallest > options.largest)
          throw ConfigError("smallest, largest: expected them in rising order, got " +
                            std::to_string(options.smallest) + " and " +
                            std::to_string(options.largest) + ".");
      });
    }
  };
  Crop(const Options& options, const BuildContext&) : options_(options) {}

  void plan(ClipPlan& clip, Random& random) const override {
    if (!options_.short_sides.empty())
      resize_to_drawn(clip, options_.short_sides, options_.max_side.value_or(0), random);
    const int64_t width = draw_side(clip.width(), random);
    const int64_t height = draw_side(clip.height(), random);
    const int64_t x = random.integer(0, clip.width() - width);
    const int64_t y = random.integer(0, clip.height() - height);
    clip.crop(x, y, width, height);
  }

 private:
  int64_t draw_side(int64_t side, Random& random) const {
    return random.integer(std::min(options_.smallest, side), std::min(options_.largest, side));
  }

  Options options_;
};

}  // namespace

const PluginDescriptor& crop() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Augmentation, Crop>(
      "crop", "Crops the clip to a drawn width and height at a drawn place");
  return kDescriptor;
}

}  // namespace tessera::augmentations
