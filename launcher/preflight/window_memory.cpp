#include "launcher/preflight/window_memory.h"

#include <algorithm>
#include <cmath>

#include "launcher/inference/video_inference.h"
#include "launcher/peak_memory.h"
#include "launcher/preflight/small_video.h"

namespace tessera::preflight {
namespace {

// The trials' frames: large enough that tensors outweigh what the allocator keeps.
constexpr int64_t kHeight = 192, kWidth = 320;

/// Pixels of a frame as the model sees it.
double pixels_of(const InferenceOptions& options, const ClipSize& video) {
  const auto shorter = static_cast<double>(std::min(video.height, video.width));
  const auto longer = static_cast<double>(std::max(video.height, video.width));
  const double scale = std::min(static_cast<double>(options.short_side) / shorter,
                                static_cast<double>(options.max_side) / longer);
  return scale * scale * shorter * longer;
}

}  // namespace

int64_t estimate_window_memory(VisModel& model, const Experiment& experiment,
                               const ClipSize& video) {
  VideoOptions small = experiment.video_options();
  small.inference.frames = {};
  small.inference.short_side = kHeight;
  small.inference.max_side = kWidth;
  const at::Device device(at::kCPU);
  const VideoInference inference(model, small, device);
  const int64_t chunk = small.inference.backbone_frames;
  const auto grown = [&](int64_t frames) {
    begin_peak(device);
    const int64_t before = memory_use(device).now;
    inference.run(noise_video({frames, kHeight, kWidth}));
    return static_cast<double>(memory_use(device).peak - before);
  };
  // What the backbone needs for the frames that go through it at once stays; the rest grows with
  // every frame.
  const double one = grown(chunk), three = grown(3 * chunk);
  const double of_frame = std::max(0.0, (three - one) / static_cast<double>(2 * chunk));
  const double of_chunk = std::max(0.0, one - of_frame * static_cast<double>(chunk));
  const double scale =
      pixels_of(experiment.inference, video) / static_cast<double>(kHeight * kWidth);
  const int64_t now = memory_use(device).now;
  return now + std::llround(scale * (of_chunk + of_frame * static_cast<double>(video.frames)));
}

}  // namespace tessera::preflight
