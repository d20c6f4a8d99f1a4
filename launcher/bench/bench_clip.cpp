#include "launcher/bench/bench_clip.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
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

Targets make_targets(const ClipBatch& batch, int64_t num_instances, int64_t num_categories) {
  const int64_t frames = batch.frames.size(1);
  const ClipMeta& meta = batch.meta.at(0);
  ClipTargets targets;
  targets.height = meta.height;
  targets.width = meta.width;
  targets.labels = at::remainder(at::arange(num_instances), num_categories);
  targets.valid = at::ones({num_instances, frames}, at::kBool);
  targets.boxes = at::zeros({num_instances, frames, 4});
  targets.masks =
      at::zeros({num_instances, frames, batch.frames.size(3), batch.frames.size(4)}, at::kBool);
  const double side = 1 / std::sqrt(6.0);
  const auto box_height = std::max<int64_t>(1, static_cast<int64_t>(side * double(meta.height))),
             box_width = std::max<int64_t>(1, static_cast<int64_t>(side * double(meta.width)));
  for (int64_t n = 0; n < num_instances; ++n) {
    for (int64_t t = 0; t < frames; ++t) {
      const int64_t top = (7 * n + 2 * t) % (meta.height - box_height + 1),
                    left = (13 * n + 3 * t) % (meta.width - box_width + 1);
      targets.masks[n][t].narrow(0, top, box_height).narrow(1, left, box_width).fill_(true);
      const double height = double(meta.height), width = double(meta.width);
      targets.boxes[n][t] = at::tensor({(double(left) + double(box_width) / 2) / width,
                                        (double(top) + double(box_height) / 2) / height,
                                        double(box_width) / width, double(box_height) / height},
                                       at::kFloat);
    }
  }
  return {std::move(targets)};
}

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
