#include "launcher/preflight/small_video.h"

#include <ATen/ATen.h>

#include <memory>

namespace tessera::preflight {
namespace {

class NoiseFrames final : public data::FrameSource {
 public:
  explicit NoiseFrames(const ClipSize& size) : size_(size) {}

  at::Tensor read(int64_t index) override {
    // Numbers that look drawn, and leave every generator of random numbers as it was.
    at::Tensor frame = at::arange(size_.height * size_.width * 3, at::kLong) + index;
    return frame.mul_(2654435761)
        .bitwise_right_shift(16)
        .remainder(256)
        .to(at::kByte)
        .view({size_.height, size_.width, 3});
  }

 private:
  ClipSize size_;
};

}  // namespace

data::InferenceVideo noise_video(const ClipSize& size) {
  data::InferenceVideo video;
  video.id = 1;
  video.name = "noise";
  video.height = size.height;
  video.width = size.width;
  video.length = size.frames;
  video.source = std::make_shared<NoiseFrames>(size);
  return video;
}

}  // namespace tessera::preflight
