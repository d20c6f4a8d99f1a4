#include "launcher/data/augmentation_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/structures/shape.h"
#include "launcher/data/geometry.h"
#include "launcher/data/photometric.h"
#include "launcher/data/pixel_loops.h"

namespace tessera::data {
namespace {

void put_through(const ClipTransform& transform, ClipImages& clip) {
  const ClipImages before = clip;
  for (size_t t = 0; t < before.frames.size(); ++t) {
    clip.frames[transform.place(t)] = transform.frame(before.frames[t], t);
    for (size_t n = 0; n < before.masks.size(); ++n) {
      const cv::Mat& mask = before.masks[n][t];
      clip.masks[n][transform.place(t)] =
          mask.empty() ? mask : take_pixels(mask, transform.rows(), transform.columns());
    }
  }
}

/// Frame t of [T,H,W,3] float32 as a matrix that shares its memory.
cv::Mat frame_of(const at::Tensor& frames, int64_t t) {
  const at::Tensor frame = frames.select(0, t);
  return {static_cast<int>(frame.size(0)), static_cast<int>(frame.size(1)), CV_32FC3,
          frame.data_ptr<float>()};
}

/// Mask [n][t] of [N,T,H,W] bool as a matrix of 0 and 1 that shares its memory.
cv::Mat mask_of(const at::Tensor& masks, int64_t n, int64_t t) {
  const at::Tensor mask = masks.select(0, n).select(0, t);
  return {static_cast<int>(mask.size(0)), static_cast<int>(mask.size(1)), CV_8UC1,
          mask.data_ptr<bool>()};
}

ClipPixels pixels_of(const ClipImages& clip) {
  const auto num_frames = static_cast<int64_t>(clip.frames.size());
  const auto num_instances = static_cast<int64_t>(clip.masks.size());
  const int64_t height = clip.size().height, width = clip.size().width;
  ClipPixels pixels{at::empty({num_frames, height, width, 3}, at::kFloat),
                    at::zeros({num_instances, num_frames, height, width}, at::kBool)};
  for (int64_t t = 0; t < num_frames; ++t) {
    const auto place = static_cast<size_t>(t);
    cv::Mat frame = frame_of(pixels.frames, t);
    clip.frames[place].convertTo(frame, CV_32F);
    for (int64_t n = 0; n < num_instances; ++n) {
      const cv::Mat& mask = clip.masks[static_cast<size_t>(n)][place];
      cv::Mat target = mask_of(pixels.masks, n, t);
      if (!mask.empty()) mask.copyTo(target);
    }
  }
  return pixels;
}

void expect_type(const at::Tensor& tensor, at::ScalarType type, const std::string& name) {
  if (tensor.scalar_type() != type)
    throw PluginError(name + ": expected " + c10::toString(type) + ", got " +
                      c10::toString(tensor.scalar_type()) + ".");
}

}  // namespace

AugmentationPlan::AugmentationPlan(cv::Size size, size_t num_frames, const Resizing& resizing)
    : resizing_(resizing), num_frames_(num_frames) {
  transforms_.emplace_back(size, num_frames, resizing);
}

void AugmentationPlan::refuse(const std::string& operation, const std::string& expected) const {
  throw PluginError("data.augment: '" + step_ + "': " + operation + ": expected " + expected + ".");
}

void AugmentationPlan::resize(int64_t short_side, int64_t max_side) {
  if (short_side < 1 || max_side < 0)
    refuse("resize", "a shorter side of at least 1 and a limit of at least 0, got " +
                         std::to_string(short_side) + " and " + std::to_string(max_side));
  transforms_.back().resize(short_side, max_side);
}

void AugmentationPlan::crop(int64_t x, int64_t y, int64_t width, int64_t height) {
  const bool is_inside = x >= 0 && y >= 0 && width >= 1 && height >= 1 &&
                         width <= this->width() - x && height <= this->height() - y;
  if (!is_inside)
    refuse("crop", "a rectangle within " + std::to_string(this->width()) + "x" +
                       std::to_string(this->height()) + " pixels, got " + std::to_string(width) +
                       "x" + std::to_string(height) + " at (" + std::to_string(x) + ", " +
                       std::to_string(y) + ")");
  transforms_.back().crop({static_cast<int>(x), static_cast<int>(y), static_cast<int>(width),
                           static_cast<int>(height)});
}

void AugmentationPlan::shuffle_channels(const std::array<int, 3>& order) {
  for (const int channel : order)
    if (channel < 0 || channel > 2)
      refuse("shuffle_channels", "channels 0 to 2, got " + std::to_string(channel));
  transforms_.back().shuffle_channels(order);
}

void AugmentationPlan::change_colours(std::vector<ColourChange> changes) {
  if (changes.size() != 1 && changes.size() != num_frames_)
    refuse("change_colours", "one change, or one for each of the " + std::to_string(num_frames_) +
                                 " frames, got " + std::to_string(changes.size()));
  transforms_.back().change_colours(std::move(changes));
}

void AugmentationPlan::change_frames(std::function<void(at::Tensor, int64_t)> change) {
  transforms_.back().change_frames(std::move(change));
}

void AugmentationPlan::change_clip(int64_t height, int64_t width,
                                   std::function<ClipPixels(ClipPixels)> change) {
  constexpr int64_t kLargest = std::numeric_limits<int>::max();
  if (height < 1 || width < 1 || height > kLargest || width > kLargest)
    refuse("change_clip", "a size of at least 1x1 pixels, got " + std::to_string(width) + "x" +
                              std::to_string(height));
  const cv::Size size(static_cast<int>(width), static_cast<int>(height));
  changes_.push_back({step_, size, std::move(change)});
  transforms_.emplace_back(size, num_frames_, resizing_);
}

void AugmentationPlan::finish(ClipImages& clip) const {
  for (size_t i = 0; i < changes_.size(); ++i) {
    change_whole(clip, changes_[i]);
    put_through(transforms_[i + 1], clip);
  }
}

void AugmentationPlan::apply(ClipImages& clip) const {
  put_through(first(), clip);
  finish(clip);
}

void AugmentationPlan::change_whole(ClipImages& clip, const ClipChange& change) const {
  const std::string who = "data.augment: '" + change.step + "': ";
  ClipPixels pixels = change.change(pixels_of(clip));
  ShapeBinding sizes{{'T', static_cast<int64_t>(clip.frames.size())},
                     {'N', static_cast<int64_t>(clip.masks.size())},
                     {'H', change.size.height},
                     {'W', change.size.width}};
  expect_shape(pixels.frames, "[T,H,W,3]", who + "frames", sizes);
  expect_shape(pixels.masks, "[N,T,H,W]", who + "masks", sizes);
  expect_type(pixels.frames, at::kFloat, who + "frames");
  expect_type(pixels.masks, at::kBool, who + "masks");
  const at::Tensor frames = pixels.frames.contiguous(), masks = pixels.masks.contiguous();
  for (size_t t = 0; t < clip.frames.size(); ++t) {
    cv::Mat levels = frame_of(frames, static_cast<int64_t>(t)).clone();
    clip_levels(levels);
    clip.frames[t] = resizing_.antialiased ? cut_to_bytes(levels) : levels;
    for (size_t n = 0; n < clip.masks.size(); ++n) {
      const cv::Mat mask = mask_of(masks, static_cast<int64_t>(n), static_cast<int64_t>(t));
      clip.masks[n][t] = cv::countNonZero(mask) == 0 ? cv::Mat() : mask.clone();
    }
  }
}

}  // namespace tessera::data
