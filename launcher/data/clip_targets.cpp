#include "launcher/data/clip_targets.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace tessera::data {
namespace {

/// The foreground's rows and columns, ends not included.
struct Bounds {
  int left = 0, top = 0, right = 0, bottom = 0;
};

std::optional<Bounds> visible_bounds(const cv::Mat& mask, int64_t min_visible_pixels) {
  if (mask.empty()) return std::nullopt;
  Bounds bounds{0, mask.rows, 0, 0};
  int64_t count = 0;
  std::vector<uint8_t> in_column(static_cast<size_t>(mask.cols), 0);
  for (int y = 0; y < mask.rows; ++y) {
    const uint8_t* row = mask.ptr<uint8_t>(y);
    int in_row = 0;
    for (int x = 0; x < mask.cols; ++x) in_row += row[x] != 0;
    if (in_row == 0) continue;
    for (int x = 0; x < mask.cols; ++x) in_column[static_cast<size_t>(x)] |= row[x];
    count += in_row;
    bounds.top = std::min(bounds.top, y);
    bounds.bottom = y + 1;
  }
  while (bounds.left < mask.cols && in_column[static_cast<size_t>(bounds.left)] == 0) ++bounds.left;
  bounds.right = mask.cols;
  while (bounds.right > 0 && in_column[static_cast<size_t>(bounds.right) - 1] == 0) --bounds.right;
  if (count < std::max<int64_t>(1, min_visible_pixels)) return std::nullopt;
  return bounds;
}

void write_box(const Bounds& bounds, cv::Size size, float* box) {
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
  std::vector<std::vector<std::optional<Bounds>>> bounds(masks.size());
  for (size_t n = 0; n < masks.size(); ++n) {
    bool seen = false;
    for (const cv::Mat& mask : masks[n]) {
      bounds[n].push_back(visible_bounds(mask, min_visible_pixels));
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
        std::transform(row, row + size.width, plane + static_cast<int64_t>(y) * size.width,
                       [](uint8_t value) { return value != 0; });
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
