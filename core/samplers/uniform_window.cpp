#include "core/interfaces/sampler.h"
#include "core/plugin/plugin.h"
#include "core/samplers/builtin_samplers.h"
#include "core/samplers/window.h"

namespace tessera::samplers {
namespace {

class UniformWindow final : public Sampler {
 public:
  struct Options {
    int64_t stride = 1;
    static void describe(Schema<Options>& schema) {
      schema.field("stride", &Options::stride, "Frames from one frame of the window to the next.")
          .at_least(1);
    }
  };
  UniformWindow(const Options& options, const BuildContext& context)
      : options_(options), num_frames_(context.clip.num_frames) {}

  std::vector<int64_t> draw(const SampledVideo& video, int64_t, Random& random) const override {
    const int64_t distance = distance_to_last(num_frames_, options_.stride);
    const int64_t last_start =
        distance < video.length ? video.length - 1 - distance : video.length - 1;
    return window_from(random.integer(0, last_start), num_frames_, options_.stride, video.length);
  }

  int64_t span(int64_t num_frames) const override {
    return distance_to_last(num_frames, options_.stride) + 1;
  }

 private:
  Options options_;
  int64_t num_frames_;
};

}  // namespace

const PluginDescriptor& uniform_window() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Sampler, UniformWindow>(
      "uniform_window",
      "A window at a drawn place; in a video that is too short it goes on from the start");
  return kDescriptor;
}

}  // namespace tessera::samplers
