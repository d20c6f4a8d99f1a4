#include "core/interfaces/sampler.h"
#include "core/plugin/plugin.h"
#include "core/samplers/builtin_samplers.h"
#include "core/samplers/window.h"

namespace tessera::samplers {
namespace {

class WholeVideo final : public Sampler {
 public:
  struct Options {
    int64_t stride = 1;
    static void describe(Schema<Options>& schema) {
      schema.field("stride", &Options::stride, "Frames from one frame of the clip to the next.")
          .at_least(1);
    }
  };
  WholeVideo(const Options& options, const BuildContext&) : options_(options) {}

  std::vector<int64_t> draw(const SampledVideo& video, int64_t, Random&) const override {
    return every_frame(video.length, options_.stride);
  }

  int64_t clip_length(int64_t length, int64_t) const override {
    return (length + options_.stride - 1) / options_.stride;
  }

  int64_t span(int64_t) const override { return 1; }

 private:
  Options options_;
};

}  // namespace

const PluginDescriptor& whole_video() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Sampler, WholeVideo>(
      "whole_video", "Every frame of the video, whatever data.num_frames says");
  return kDescriptor;
}

}  // namespace tessera::samplers
