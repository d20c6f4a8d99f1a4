#include "launcher/model/noise_clip.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>

#include <utility>

namespace tessera {
namespace {

int64_t padded(int64_t side, int64_t divisor) {
  return (side + divisor - 1) / divisor * divisor;
}

}  // namespace

ClipBatch noise_clip(const ClipSize& size, int64_t size_divisor) {
  const int64_t height = padded(size.height, size_divisor),
                width = padded(size.width, size_divisor);
  ClipBatch batch;
  batch.frames =
      at::constant_pad_nd(at::randn({1, size.frames, 3, size.height, size.width},
                                    at::detail::createCPUGenerator(/*seed=*/1), at::kFloat),
                          {0, width - size.width, 0, height - size.height});
  batch.padding_mask = at::ones({1, size.frames, height, width}, at::kBool);
  batch.padding_mask.narrow(2, 0, size.height).narrow(3, 0, size.width).fill_(false);
  ClipMeta meta;
  meta.video_name = "noise";
  meta.height = meta.original_height = size.height;
  meta.width = meta.original_width = size.width;
  for (int64_t t = 0; t < size.frames; ++t) meta.frame_indices.push_back(t);
  batch.meta.push_back(std::move(meta));
  return batch;
}

}  // namespace tessera
