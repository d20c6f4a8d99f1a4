#include "launcher/inference/window_frames.h"

#include "launcher/data/frame_tensor.h"

namespace tessera {

WindowFrames::WindowFrames(const data::InferenceVideo& video, const Span& span,
                           const VideoOptions& options)
    : video_(video), options_(options), span_(span), normalise_(options.normalise) {
  if (normalise_.by != "clip") return;
  for (int64_t i = 0; i < span_.length; ++i) kept_.push_back(resized(i));
  // A training clip that is longer than its video holds frames twice, and their pixels count twice.
  std::vector<cv::Mat> clip = kept_;
  for (int64_t i = span_.length; i < span_.model_frames; ++i)
    clip.push_back(kept_[static_cast<size_t>(i % span_.length)]);
  normalise_ = data::clip_statistics(clip);
}

cv::Mat WindowFrames::resized(int64_t index) const {
  return data::resize_to_sides(video_.read(span_.start + index), options_.inference.short_side,
                               options_.inference.max_side, options_.resizing);
}

at::Tensor WindowFrames::read(int64_t first, int64_t count) const {
  std::vector<cv::Mat> frames;
  for (int64_t i = first; i < first + count; ++i)
    frames.push_back(kept_.empty() ? resized(i) : kept_[static_cast<size_t>(i)]);
  return data::normalised_frames(frames, normalise_);
}

}  // namespace tessera
