#include "launcher/bench/bench_clip.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <utility>

namespace tessera::bench {
namespace {

class Noise final : public data::FrameSource {
 public:
  explicit Noise(at::Tensor frames) : frames_(std::move(frames)) {}
  at::Tensor read(int64_t index) override { return frames_[index]; }

 private:
  at::Tensor frames_;  // [T,H,W,3] uint8
};

}  // namespace

data::InferenceVideo make_video(const ClipSize& size) {
  data::InferenceVideo video;
  video.name = "noise";
  video.height = size.height;
  video.width = size.width;
  video.length = size.frames;
  video.source =
      std::make_shared<Noise>(at::randint(0, 256, {size.frames, size.height, size.width, 3},
                                          at::detail::createCPUGenerator(/*seed=*/1), at::kByte));
  return video;
}

}  // namespace tessera::bench
