#include "launcher/data/clip_targets.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "launcher/data/pixel_loops.h"

namespace tessera::data {
namespace {

void write_box(const PixelBounds& bounds, cv::Size size, float* box) {
  const auto width = static_cast<float>(size.width);
  const auto height = static_cast<float>(size.height);
  box[0] = 0.5F * static_cast<float>(bounds.left + bounds.right) / width;
  box[1] = 0.5F * static_cast<float>(bounds.top + bounds.bottom) / height;
  box[2] = static_cast<float>(bounds.right - bounds.left) / width;
  box[3] = static_cast<float>(bounds.bottom - bounds.top) / height;
}

at::Tensor zeros(at::IntArrayRef shape, at::ScalarType type) {
  at::Tensor result = at::empty(shape, type);
  if (result.numel() > 0) std::memset(result.data_ptr(), 0, result.nbytes());
  return result;
}

}  // namespace

ClipTargets make_targets(const std::vector<std::vector<cv::Mat>>& masks,
                         const std::vector<int64_t>& labels, int64_t num_frames, cv::Size size,
                         int64_t min_visible_pixels) {
  std::vector<size_t> kept;
  std::vector<std::vector<std::optional<PixelBounds>>> bounds(masks.size());
  for (size_t n = 0; n < masks.size(); ++n) {
    bool seen = false;
    for (const cv::Mat& mask : masks[n]) {
      bounds[n].push_back(mask.empty() ? std::nullopt
                                       : foreground_bounds(mask, min_visible_pixels));
      seen = seen || bounds[n].back().has_value();
    }
    if (seen) kept.push_back(n);
  }
  const auto num_kept = static_cast<int64_t>(kept.size());
  ClipTargets targets;
  targets.height = size.height;
  targets.width = size.width;
  targets.labels = at::empty({num_kept}, at::kLong);
  targets.boxes = zeros({num_kept, num_frames, 4}, at::kFloat);
  targets.masks = zeros({num_kept, num_frames, size.height, size.width}, at::kBool);
  targets.valid = zeros({num_kept, num_frames}, at::kBool);
  auto* box = targets.boxes.data_ptr<float>();
  bool* mask_out = targets.masks.data_ptr<bool>();
  bool* valid = targets.valid.data_ptr<bool>();
  for (size_t i = 0; i < kept.size(); ++i) {
    const size_t n = kept[i];
    targets.labels.data_ptr<int64_t>()[i] = labels[n];
    for (size_t t = 0; t < masks[n].size(); ++t, box += 4, ++valid) {
      bool* plane = mask_out;
      mask_out += static_cast<int64_t>(size.height) * size.width;
      if (!bounds[n][t]) continue;
      *valid = true;
      write_box(*bounds[n][t], size, box);
      for (int y = 0; y < size.height; ++y) {
        const uint8_t* row = masks[n][t].ptr<uint8_t>(y);
        // 0 and 1 are false and true to the byte.
        std::memcpy(plane + static_cast<int64_t>(y) * size.width, row,
                    static_cast<size_t>(size.width));
      }
    }
  }
  return targets;
}

void pad_masks(ClipTargets& targets, int64_t height, int64_t width) {
  const at::Tensor masks = targets.masks.contiguous();
  const int64_t h = masks.size(2);
  const int64_t w = masks.size(3);
  if (h == height && w == width) return;
  at::Tensor padded = zeros({masks.size(0), masks.size(1), height, width}, at::kBool);
  const bool* from = masks.data_ptr<bool>();
  bool* to = padded.data_ptr<bool>();
  for (int64_t plane = 0; plane < masks.size(0) * masks.size(1); ++plane)
    for (int64_t y = 0; y < h; ++y)
      std::copy_n(from + (plane * h + y) * w, w, to + (plane * height + y) * width);
  targets.masks = padded;
}

}  // namespace tessera::data
