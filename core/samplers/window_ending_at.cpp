#include "core/interfaces/sampler.h"
#include "core/plugin/plugin.h"
#include "core/samplers/builtin_samplers.h"
#include "core/samplers/window.h"

namespace tessera::samplers {
namespace {

/// VisTR: file_names[frame - k % length] for k = T-1 .. 0, negative positions from the video's end.
class WindowEndingAt final : public Sampler {
 public:
  struct Options {
    int64_t stride = 1;
    int64_t every = 1;
    static void describe(Schema<Options>& schema) {
      schema.field("stride", &Options::stride, "Frames from one frame of the window to the next.")
          .at_least(1);
      schema
          .field("every", &Options::every,
                 "An epoch has one sample for this number of frames of a video.")
          .at_least(1);
    }
  };
  WindowEndingAt(const Options& options, const BuildContext& context)
      : options_(options), num_frames_(context.clip.num_frames) {}

  std::vector<int64_t> samples(const SampledVideo& video) const override {
    return every_frame(video.length, options_.every);
  }

  std::vector<int64_t> draw(const SampledVideo& video, int64_t frame, Random&) const override {
    return window_from(frame - distance_to_last(num_frames_, options_.stride), num_frames_,
                       options_.stride, video.length);
  }

  int64_t span(int64_t num_frames) const override {
    return distance_to_last(num_frames, options_.stride) + 1;
  }

 private:
  Options options_;
  int64_t num_frames_;
};

}  // namespace

const PluginDescriptor& window_ending_at() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Sampler, WindowEndingAt>(
      "window_ending_at",
      "The frames that end at the sampled one, wrapping round to the video's end (VisTR)");
  return kDescriptor;
}

}  // namespace tessera::samplers
