#include "launcher/data/frame_tensor.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <opencv2/core.hpp>
#include <utility>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/data/image_mat.h"
#include "launcher/data/pixel_loops.h"

namespace tessera::data {
namespace {

constexpr double kLevels = 255;

int64_t rounded_up(int64_t side, int64_t divisor) {
  return (side + divisor - 1) / divisor * divisor;
}

ChannelScale channel_scale(const NormaliseOptions& normalise) {
  ChannelScale scale;
  for (size_t c = 0; c < 3; ++c) {
    scale.factor[c] = static_cast<float>(1 / (kLevels * normalise.deviation[c]));
    scale.offset[c] = static_cast<float>(-normalise.mean[c] / normalise.deviation[c]);
  }
  return scale;
}

/// Copies rows [h,w] of `planes` planes into the upper left corner of planes [height,width].
void copy_planes(const float* from, int64_t planes, int64_t h, int64_t w, float* to, int64_t height,
                 int64_t width) {
  for (int64_t plane = 0; plane < planes; ++plane)
    for (int64_t y = 0; y < h; ++y)
      std::memcpy(to + (plane * height + y) * width, from + (plane * h + y) * w,
                  static_cast<size_t>(w) * sizeof(float));
}

}  // namespace

NormaliseOptions clip_statistics(const std::vector<cv::Mat>& frames) {
  constexpr double kSmallest = 0.5 / kLevels;
  std::array<double, 3> sum{}, squares{};
  double count = 0;
  for (const cv::Mat& frame : frames) {
    const cv::Mat levels = with_float_levels(frame);
    for (int y = 0; y < levels.rows; ++y) {
      const auto* row = levels.ptr<cv::Vec3f>(y);
      for (int x = 0; x < levels.cols; ++x)
        for (int c = 0; c < 3; ++c) {
          const double value = row[x][c] / kLevels;
          sum[static_cast<size_t>(c)] += value;
          squares[static_cast<size_t>(c)] += value * value;
        }
    }
    count += static_cast<double>(levels.total());
  }
  NormaliseOptions result;
  for (size_t c = 0; c < 3; ++c) {
    const double mean = sum[c] / count;
    result.mean[c] = mean;
    result.deviation[c] =
        std::max(kSmallest, std::sqrt(std::max(0.0, squares[c] / count - mean * mean)));
  }
  return result;
}

at::Tensor normalised_frames(const std::vector<cv::Mat>& frames, const NormaliseOptions& options) {
  if (frames.empty()) throw ShapeError("frames: expected at least one frame, got none.");
  const ChannelScale scale =
      channel_scale(options.by == "clip" ? clip_statistics(frames) : options);
  const int64_t height = frames[0].rows;
  const int64_t width = frames[0].cols;
  const auto num_frames = static_cast<int64_t>(frames.size());
  at::Tensor result = at::empty({num_frames, 3, height, width}, at::kFloat);
  float* out = result.data_ptr<float>();
  for (const cv::Mat& frame : frames) {
    write_planes(frame, scale, out);
    out += 3 * height * width;
  }
  return result;
}

cv::Mat resize_to_sides(const at::Tensor& frame, int64_t short_side, int64_t max_side,
                        const Resizing& resizing) {
  use_single_opencv_thread();
  const at::Tensor whole = frame.contiguous();
  const cv::Mat pixels = to_mat(whole);
  const cv::Size size = resized_size(pixels.rows, pixels.cols, short_side, max_side, resizing);
  // A frame that has the size already comes back as it is, in the tensor's memory.
  return pixels.size() == size ? pixels.clone() : resize_frame(pixels, size, resizing);
}

ClipBatch batch_frames(const std::vector<at::Tensor>& clips, std::vector<ClipMeta> meta,
                       int64_t size_divisor) {
  if (clips.empty() || clips.size() != meta.size())
    throw ShapeError("batch: expected clips with one meta each, got " +
                     std::to_string(clips.size()) + " clips and " + std::to_string(meta.size()) +
                     ".");
  const int64_t num_frames = clips[0].size(0);
  int64_t height = 0;
  int64_t width = 0;
  for (size_t b = 0; b < clips.size(); ++b) {
    expect_shape(clips[b], "[T,3,H,W]", "clip");
    if (clips[b].size(0) != num_frames)
      throw DataError("batch: expected clips of one length, got " + std::to_string(num_frames) +
                      " frames of video '" + meta[0].video_name + "' and " +
                      std::to_string(clips[b].size(0)) + " of video '" + meta[b].video_name +
                      "'. Use one clip per batch, or another data.sampling.kind.");
    height = std::max(height, clips[b].size(2));
    width = std::max(width, clips[b].size(3));
  }
  height = rounded_up(height, size_divisor);
  width = rounded_up(width, size_divisor);
  const auto num_clips = static_cast<int64_t>(clips.size());
  ClipBatch batch;
  batch.meta = std::move(meta);
  if (num_clips == 1 && height == clips[0].size(2) && width == clips[0].size(3)) {
    batch.frames = clips[0].contiguous().unsqueeze(0);
    batch.padding_mask = at::zeros({1, num_frames, height, width}, at::kBool);
    return batch;
  }
  batch.frames = at::empty({num_clips, num_frames, 3, height, width}, at::kFloat);
  batch.padding_mask = at::empty({num_clips, num_frames, height, width}, at::kBool);
  std::memset(batch.frames.data_ptr(), 0, batch.frames.nbytes());
  std::memset(batch.padding_mask.data_ptr(), 1, batch.padding_mask.nbytes());
  for (int64_t b = 0; b < num_clips; ++b) {
    const at::Tensor clip = clips[static_cast<size_t>(b)].contiguous();
    const int64_t h = clip.size(2);
    const int64_t w = clip.size(3);
    copy_planes(clip.data_ptr<float>(), num_frames * 3, h, w,
                batch.frames.data_ptr<float>() + b * num_frames * 3 * height * width, height,
                width);
    bool* padded = batch.padding_mask.data_ptr<bool>() + b * num_frames * height * width;
    for (int64_t t = 0; t < num_frames; ++t)
      for (int64_t y = 0; y < h; ++y) std::fill_n(padded + (t * height + y) * width, w, false);
  }
  return batch;
}

void set_colour_scale(ClipBatch& batch, const NormaliseOptions& normalise) {
  if (normalise.by == "clip") return;
  batch.mean = at::tensor(normalise.mean, at::kFloat);
  batch.deviation = at::tensor(normalise.deviation, at::kFloat);
}

}  // namespace tessera::data
