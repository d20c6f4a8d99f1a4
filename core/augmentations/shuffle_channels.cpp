#include "core/augmentations/builtin_steps.h"
#include "core/augmentations/channel_order.h"
#include "core/interfaces/augmentation.h"
#include "core/plugin/plugin.h"

namespace tessera::augmentations {
namespace {

class ShuffleChannels final : public Augmentation {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  ShuffleChannels(const Options&, const BuildContext&) {}
  void plan(ClipPlan& clip, Random& random) const override {
    clip.shuffle_channels(draw_channel_order(random));
  }
};

}  // namespace

const PluginDescriptor& shuffle_channels() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Augmentation, ShuffleChannels>(
      "shuffle_channels", "Puts R, G and B in a drawn order, one order for the clip");
  return kDescriptor;
}

}  // namespace tessera::augmentations
