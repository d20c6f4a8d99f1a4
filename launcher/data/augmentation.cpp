#include "launcher/data/augmentation.h"

#include <algorithm>

#include "launcher/data/geometry.h"
#include "launcher/data/photometric.h"

namespace tessera::data {
namespace {

/// Replaces every frame and every mask that is there.
template <class OnFrame, class OnMask>
void transform(ClipImages& clip, const OnFrame& on_frame, const OnMask& on_mask) {
  for (cv::Mat& frame : clip.frames) frame = on_frame(frame);
  for (auto& track : clip.masks)
    for (cv::Mat& mask : track)
      if (!mask.empty()) mask = on_mask(mask);
}

void flip(ClipImages& clip, bool vertical) {
  const auto flipped = [&](const cv::Mat& image) {
    cv::Mat result;
    cv::flip(image, result, vertical ? 0 : 1);
    return result;
  };
  transform(clip, flipped, flipped);
}

void reverse_time(ClipImages& clip) {
  std::reverse(clip.frames.begin(), clip.frames.end());
  for (auto& track : clip.masks) std::reverse(track.begin(), track.end());
}

void shuffle_channels(ClipImages& clip, Random& random) {
  std::vector<int> order{0, 1, 2};
  for (int i = 2; i > 0; --i) std::swap(order[i], order[random.integer(0, i)]);
  const std::vector<int> from_to{order[0], 0, order[1], 1, order[2], 2};
  for (cv::Mat& frame : clip.frames) {
    cv::Mat shuffled(frame.size(), frame.type());
    cv::mixChannels(std::vector<cv::Mat>{frame}, std::vector<cv::Mat>{shuffled}, from_to);
    frame = shuffled;
  }
}

void resize(ClipImages& clip, int64_t short_side, int64_t max_side) {
  const cv::Size size = resized_size(clip.size().height, clip.size().width, short_side, max_side);
  transform(
      clip, [&](const cv::Mat& frame) { return resize_frame(frame, size); },
      [&](const cv::Mat& mask) { return resize_mask(mask, size); });
}

void resize_to_drawn(ClipImages& clip, const AugmentStepOptions& step, Random& random) {
  if (step.short_sides.empty()) return;
  const int64_t choice = random.integer(0, static_cast<int64_t>(step.short_sides.size()) - 1);
  resize(clip, step.short_sides[static_cast<size_t>(choice)], step.max_side.value_or(0));
}

int draw_side(const AugmentStepOptions& step, int side, Random& random) {
  return static_cast<int>(random.integer(std::min<int64_t>(*step.smallest, side),
                                         std::min<int64_t>(*step.largest, side)));
}

void crop(ClipImages& clip, const AugmentStepOptions& step, Random& random) {
  const cv::Size size = clip.size();
  cv::Rect region;
  region.width = draw_side(step, size.width, random);
  region.height = draw_side(step, size.height, random);
  region.x = static_cast<int>(random.integer(0, size.width - region.width));
  region.y = static_cast<int>(random.integer(0, size.height - region.height));
  const auto cropped = [&](const cv::Mat& image) { return cv::Mat(image, region); };
  transform(clip, cropped, cropped);
}

void photometric(ClipImages& clip, const AugmentStepOptions& step, Random& random) {
  PhotometricDraw draw = draw_photometric(step, random);
  for (size_t t = 0; t < clip.frames.size(); ++t) {
    if (t > 0 && step.per_frame.value_or(false)) draw = draw_photometric(step, random);
    clip.frames[t] = distort(clip.frames[t], draw);
  }
}

}  // namespace

void augment(ClipImages& clip, const AugmentOptions& options, Random& random) {
  for (const AugmentStepOptions& step : options.steps) {
    if (!random.happens(step.probability)) continue;
    if (step.kind == "flip") flip(clip, /*vertical=*/false);
    if (step.kind == "flip_vertical") flip(clip, /*vertical=*/true);
    if (step.kind == "reverse_time") reverse_time(clip);
    if (step.kind == "shuffle_channels") shuffle_channels(clip, random);
    if (step.kind == "photometric") photometric(clip, step, random);
    if (step.kind == "resize" || step.kind == "crop") resize_to_drawn(clip, step, random);
    if (step.kind == "crop") crop(clip, step, random);
  }
  if (options.short_side) resize(clip, *options.short_side, options.max_side.value_or(0));
}

}  // namespace tessera::data
