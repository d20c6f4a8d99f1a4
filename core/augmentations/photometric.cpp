#include "core/augmentations/builtin_steps.h"
#include "core/augmentations/channel_order.h"
#include "core/interfaces/augmentation.h"
#include "core/plugin/plugin.h"

namespace tessera::augmentations {
namespace {

// The ranges of SSD's photometric distortion that DETR-style video recipes use.
constexpr double kBrightnessDelta = 32;
constexpr double kLowestFactor = 0.5;
constexpr double kHighestFactor = 1.5;
constexpr double kHueDelta = 18;

class Photometric final : public Augmentation {
 public:
  struct Options {
    bool per_frame = false;
    bool wrap_overflow = false;
    double shuffle_channels = 0.5;
    static void describe(Schema<Options>& schema) {
      schema.field(
          "per_frame", &Options::per_frame,
          "Draw for each frame anew, as VisTR's code does. Otherwise there is one draw for "
          "the clip, so that colours do not flicker.");
      schema.field("wrap_overflow", &Options::wrap_overflow,
                   "Let levels beyond 0..255 wrap round, as VisTR's code does. Otherwise they are "
                   "clipped.");
      schema
          .field("shuffle_channels", &Options::shuffle_channels,
                 "How often the channels are put in a drawn order.")
          .between(0, 1);
    }
  };
  Photometric(const Options& options, const BuildContext&) : options_(options) {}

  void plan(ClipPlan& clip, Random& random) const override {
    std::vector<ColourChange> changes{draw(random)};
    if (options_.per_frame)
      while (static_cast<int64_t>(changes.size()) < clip.num_frames())
        changes.push_back(draw(random));
    clip.change_colours(std::move(changes));
  }

  bool is_photometric() const override { return true; }

 private:
  ColourChange draw(Random& random) const {
    ColourChange change;
    change.wrap_overflow = options_.wrap_overflow;
    if (random.happens(0.5))
      change.brightness = random.uniform(-kBrightnessDelta, kBrightnessDelta);
    change.contrast_first = random.happens(0.5);
    if (random.happens(0.5)) change.contrast = random.uniform(kLowestFactor, kHighestFactor);
    if (random.happens(0.5)) change.saturation = random.uniform(kLowestFactor, kHighestFactor);
    if (random.happens(0.5)) change.hue = random.uniform(-kHueDelta, kHueDelta);
    if (random.happens(options_.shuffle_channels)) change.channels = draw_channel_order(random);
    return change;
  }

  Options options_;
};

}  // namespace

const PluginDescriptor& photometric() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Augmentation, Photometric>(
      "photometric", "Distorts brightness, contrast, saturation, hue and the order of channels");
  return kDescriptor;
}

}  // namespace tessera::augmentations
