#include "launcher/data/clip_transform.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <numeric>
#include <opencv2/imgproc.hpp>
#include <tuple>
#include <utility>

#include "launcher/data/geometry.h"
#include "launcher/data/photometric.h"
#include "launcher/data/pixel_loops.h"

namespace tessera::data {
namespace {

std::vector<int> every_index(int count) {
  std::vector<int> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

/// first, first + 1, ..., count of them; turned round where `like` descends.
std::vector<int> indices_like(const std::vector<int>& like, int first, int count) {
  std::vector<int> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  if (like.front() > like.back()) std::reverse(indices.begin(), indices.end());
  return indices;
}

/// The smallest span of multiples of `step` (or the end, `side`) around first..first + count.
std::pair<int, int> aligned_outward(int first, int count, int step, int side) {
  const int begin = first / step * step;
  return {begin, std::min((first + count + step - 1) / step * step, side) - begin};
}

/// Where first..first + count of `to` pixels comes from among `from`: at least one pixel.
std::pair<int, int> span_before_resize(int first, int count, int from, int to) {
  const auto scaled = [&](int edge) {
    return static_cast<int>((2 * int64_t{edge} * from + to) / (2 * int64_t{to}));  // nearest
  };
  const int begin = std::min(scaled(first), from - 1);
  return {begin, std::max(scaled(first + count) - begin, 1)};
}

/// The indices that `chosen` of them refer to.
std::vector<int> look_up(const std::vector<int>& indices, const std::vector<int>& chosen) {
  std::vector<int> result;
  result.reserve(chosen.size());
  for (const int i : chosen) result.push_back(indices[static_cast<size_t>(i)]);
  return result;
}

cv::Mat flipped(const cv::Mat& frame, bool vertical) {
  cv::Mat result;
  cv::flip(frame, result, vertical ? 0 : 1);
  return result;
}

cv::Mat with_channels(const cv::Mat& frame, const std::array<int, 3>& order) {
  const std::vector<int> from_to{order[0], 0, order[1], 1, order[2], 2};
  cv::Mat result(frame.size(), frame.type());
  cv::mixChannels(std::vector<cv::Mat>{frame}, std::vector<cv::Mat>{result}, from_to);
  return result;
}

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

}  // namespace

ClipTransform::ClipTransform(cv::Size size, size_t num_frames, const Resizing& resizing)
    : resizing_(resizing),
      stated_size_(size),
      num_frames_(num_frames),
      geometry_{.size = size,
                .region = {cv::Point(), size},
                .rows = every_index(size.height),
                .columns = every_index(size.width)} {}

void ClipTransform::flip(bool vertical) {
  steps_.push_back(Flip{vertical});
  std::vector<int>& indices = vertical ? geometry_.rows : geometry_.columns;
  std::reverse(indices.begin(), indices.end());
}

void ClipTransform::resize(int64_t short_side, int64_t max_side) {
  const cv::Size to =
      resized_size(geometry_.size.height, geometry_.size.width, short_side, max_side, resizing_);
  if (!resizing_.antialiased) undo_resize_that_is_not_seen();
  before_resize_ = geometry_;
  if (!std::exchange(geometry_.reduction_is_known, true) && !resizing_.antialiased) {
    align_region(to);
    geometry_.reduction = block_reduction(geometry_.size, to);
  }
  steps_.push_back(Resize{to});
  geometry_.rows = look_up(geometry_.rows, nearest_indices(geometry_.size.height, to.height));
  geometry_.columns = look_up(geometry_.columns, nearest_indices(geometry_.size.width, to.width));
  geometry_.size = to;
}

void ClipTransform::undo_resize_that_is_not_seen() {
  if (!steps_.empty() && std::holds_alternative<Resize>(steps_.back())) {
    // The size between two resizes decides only what the second one aims at.
    steps_.pop_back();
    geometry_ = before_resize_;
  } else if (steps_.size() > 1 && std::holds_alternative<Crop>(steps_.back()) &&
             std::holds_alternative<Resize>(steps_[steps_.size() - 2])) {
    undo_resize_and_crop();
  }
}

void ClipTransform::crop(const cv::Rect& region) {
  geometry_.rows = {geometry_.rows.begin() + region.y,
                    geometry_.rows.begin() + region.y + region.height};
  geometry_.columns = {geometry_.columns.begin() + region.x,
                       geometry_.columns.begin() + region.x + region.width};
  geometry_.size = region.size();
  if (geometry_.reduction_is_known) {
    steps_.push_back(Crop{region});
    return;
  }
  // Every step so far works pixel by pixel or flips, so what is cut off need not go through them.
  geometry_.region = {{std::min(geometry_.columns.front(), geometry_.columns.back()),
                       std::min(geometry_.rows.front(), geometry_.rows.back())},
                      region.size()};
}

// A crop of a resized frame that is resized again is a crop of the frame: its size and place are
// drawn where the recipe says, then found again, to the nearest pixel, before the resize.
void ClipTransform::undo_resize_and_crop() {
  const cv::Rect drawn = std::get<Crop>(steps_.back()).region;
  steps_.pop_back();
  const cv::Size resized = std::get<Resize>(steps_.back()).size;
  steps_.pop_back();
  geometry_ = before_resize_;
  const auto [x, width] =
      span_before_resize(drawn.x, drawn.width, geometry_.size.width, resized.width);
  const auto [y, height] =
      span_before_resize(drawn.y, drawn.height, geometry_.size.height, resized.height);
  crop({x, y, width, height});
}

// Widens the region to whole blocks of what a decoder leaves out when the next resize goes to `to`.
void ClipTransform::align_region(cv::Size to) {
  cv::Rect& region = geometry_.region;
  for (int reduction = 0; reduction != block_reduction(region.size(), to);) {
    reduction = block_reduction(region.size(), to);
    std::tie(region.x, region.width) =
        aligned_outward(region.x, region.width, reduction, stated_size_.width);
    std::tie(region.y, region.height) =
        aligned_outward(region.y, region.height, reduction, stated_size_.height);
  }
  geometry_.rows = indices_like(geometry_.rows, region.y, region.height);
  geometry_.columns = indices_like(geometry_.columns, region.x, region.width);
  geometry_.size = region.size();
}

void ClipTransform::shuffle_channels(const std::array<int, 3>& order) {
  steps_.push_back(ShuffleChannels{order});
}

void ClipTransform::change_colours(std::vector<ColourChange> changes) {
  steps_.push_back(ChangeColours{std::move(changes)});
}

void ClipTransform::change_frames(std::function<void(at::Tensor, int64_t)> change) {
  // What is drawn for a size must meet frames of that size: they are decoded whole, and later crops
  // are taken from what the step leaves.
  geometry_.reduction_is_known = true;
  steps_.push_back(ChangeFrames{std::move(change), is_reversed_});
}

cv::Mat ClipTransform::with_changed_frame(const cv::Mat& frame, const cv::Mat& input,
                                          const ChangeFrames& step, size_t t) const {
  cv::Mat levels = frame;
  const bool is_own = frame.depth() == CV_32F && frame.datastart != input.datastart;
  if (!is_own) frame.convertTo(levels = cv::Mat(), CV_32F);
  const auto row = static_cast<int64_t>(levels.step1());
  const size_t place = step.is_reversed ? num_frames_ - 1 - t : t;
  step.change(at::from_blob(levels.data, {levels.rows, levels.cols, 3},
                            {row, int64_t{3}, int64_t{1}}, at::kFloat),
              static_cast<int64_t>(place));
  clip_levels(levels);
  return resizing_.antialiased ? cut_to_bytes(levels) : levels;
}

cv::Mat ClipTransform::frame(const cv::Mat& frame, size_t t) const {
  // A reduced frame has ceil(side / reduction) pixels, and so has what is seen of it.
  const int reduction = frame.size() == stated_size_ ? 1 : geometry_.reduction;
  const cv::Rect& region = geometry_.region;
  cv::Mat result(frame, {region.x / reduction, region.y / reduction,
                         (region.width + reduction - 1) / reduction,
                         (region.height + reduction - 1) / reduction});
  const Overloaded apply{
      [&](const Flip& step) { result = flipped(result, step.vertical); },
      [&](const Resize& step) { result = resize_frame(result, step.size, resizing_); },
      [&](const Crop& step) { result = cv::Mat(result, step.region); },
      [&](const ShuffleChannels& step) { result = with_channels(result, step.order); },
      [&](const ChangeColours& step) {
        const ColourChange& change = step.changes[step.changes.size() == 1 ? 0 : t];
        result = distort(result, change);
        if (resizing_.antialiased) result = cut_to_bytes(result);
      },
      [&](const ChangeFrames& step) { result = with_changed_frame(result, frame, step, t); },
  };
  for (const Step& step : steps_) std::visit(apply, step);
  return result;
}

}  // namespace tessera::data
