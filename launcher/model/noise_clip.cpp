#include "launcher/model/noise_clip.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

int64_t padded(int64_t side, int64_t divisor) {
  return (side + divisor - 1) / divisor * divisor;
}

}  // namespace

ClipBatch noise_clip(const ClipSize& size, int64_t size_divisor, int64_t clips) {
  const int64_t height = padded(size.height, size_divisor),
                width = padded(size.width, size_divisor);
  ClipBatch batch;
  batch.frames =
      at::constant_pad_nd(at::randn({clips, size.frames, 3, size.height, size.width},
                                    at::detail::createCPUGenerator(/*seed=*/1), at::kFloat),
                          {0, width - size.width, 0, height - size.height});
  batch.padding_mask = at::ones({clips, size.frames, height, width}, at::kBool);
  batch.padding_mask.narrow(2, 0, size.height).narrow(3, 0, size.width).fill_(false);
  batch.mean = at::full({3}, 0.5);
  batch.deviation = at::full({3}, 0.25);
  ClipMeta meta;
  meta.video_name = "noise";
  meta.height = meta.original_height = size.height;
  meta.width = meta.original_width = size.width;
  for (int64_t t = 0; t < size.frames; ++t) meta.frame_indices.push_back(t);
  batch.meta.assign(static_cast<size_t>(clips), meta);
  return batch;
}

Targets moving_targets(const ClipBatch& batch, int64_t num_instances, int64_t num_categories) {
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
  return Targets(static_cast<size_t>(batch.frames.size(0)), targets);
}

}  // namespace tessera
