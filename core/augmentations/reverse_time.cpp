#include "core/augmentations/builtin_steps.h"
#include "core/interfaces/augmentation.h"
#include "core/plugin/plugin.h"

namespace tessera::augmentations {
namespace {

class ReverseTime final : public Augmentation {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  ReverseTime(const Options&, const BuildContext&) {}
  void plan(ClipPlan& clip, Random&) const override { clip.reverse_time(); }
};

}  // namespace

const PluginDescriptor& reverse_time() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Augmentation, ReverseTime>(
      "reverse_time", "Puts the clip's last frame first");
  return kDescriptor;
}

}  // namespace tessera::augmentations
