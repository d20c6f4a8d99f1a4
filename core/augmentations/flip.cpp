#include "core/augmentations/builtin_steps.h"
#include "core/interfaces/augmentation.h"
#include "core/plugin/plugin.h"

namespace tessera::augmentations {
namespace {

class Flip final : public Augmentation {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  Flip(const Options&, const BuildContext&) {}
  void plan(ClipPlan& clip, Random&) const override { clip.flip(); }
};

class FlipVertical final : public Augmentation {
 public:
  struct Options {
    static void describe(Schema<Options>&) {}
  };
  FlipVertical(const Options&, const BuildContext&) {}
  void plan(ClipPlan& clip, Random&) const override { clip.flip_vertical(); }
};

}  // namespace

const PluginDescriptor& flip() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Augmentation, Flip>("flip", "Flips the clip left to right");
  return kDescriptor;
}

const PluginDescriptor& flip_vertical() {
  static constexpr PluginDescriptor kDescriptor =
      make_descriptor<Augmentation, FlipVertical>("flip_vertical", "Flips the clip top to bottom");
  return kDescriptor;
}

}  // namespace tessera::augmentations
