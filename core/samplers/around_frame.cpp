#include <algorithm>

#include "core/interfaces/sampler.h"
#include "core/plugin/plugin.h"
#include "core/samplers/builtin_samplers.h"

namespace tessera::samplers {
namespace {

/// Mask2Former-VIS: the others are drawn with replacement and never are the frame itself, unless
/// the video has no other.
class AroundFrame final : public Sampler {
 public:
  struct Options {
    int64_t reach = 20;
    static void describe(Schema<Options>& schema) {
      schema.field("reach", &Options::reach, "Largest distance from the drawn frame, in frames.")
          .at_least(1);
    }
  };
  AroundFrame(const Options& options, const BuildContext& context)
      : options_(options), num_frames_(context.clip.num_frames) {}

  std::vector<int64_t> draw(const SampledVideo& video, int64_t, Random& random) const override {
    const int64_t centre = random.integer(0, video.length - 1);
    const int64_t low = std::max<int64_t>(0, centre - options_.reach);
    const int64_t high = std::min(video.length - 1, centre + options_.reach);
    std::vector<int64_t> frames{centre};
    for (int64_t t = 1; t < num_frames_; ++t) {
      if (low == high) {
        frames.push_back(centre);
        continue;
      }
      const int64_t other = random.integer(low, high - 1);
      frames.push_back(other < centre ? other : other + 1);
    }
    std::sort(frames.begin(), frames.end());
    return frames;
  }

 private:
  Options options_;
  int64_t num_frames_;
};

}  // namespace

const PluginDescriptor& around_frame() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Sampler, AroundFrame>(
      "around_frame", "A drawn frame and others within reach of it (Mask2Former-VIS)");
  return kDescriptor;
}

}  // namespace tessera::samplers
