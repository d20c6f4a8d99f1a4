#include "launcher/data/clip_sampler.h"

#include <algorithm>
#include <utility>

namespace tessera::data {
namespace {

int64_t wrapped(int64_t frame, int64_t length) {
  return (frame % length + length) % length;
}

std::vector<int64_t> window_from(int64_t first, int64_t count, int64_t stride, int64_t length) {
  std::vector<int64_t> frames;
  for (int64_t t = 0; t < count; ++t) frames.push_back(wrapped(first + t * stride, length));
  return frames;
}

}  // namespace

ClipSampler::ClipSampler(const SamplingOptions& options, int64_t num_frames,
                         std::vector<int64_t> video_lengths)
    : options_(options), num_frames_(num_frames), video_lengths_(std::move(video_lengths)) {
  for (size_t video = 0; video < video_lengths_.size(); ++video) {
    const bool by_frame = options_.kind == "window_ending_at" || options_.kind == "near_and_far";
    const int64_t end = by_frame ? video_lengths_[video] : 1;
    for (int64_t frame = 0; frame < end; frame += options_.every)
      samples_.push_back({video, frame});
  }
}

ClipSampler::Clip ClipSampler::draw(int64_t sample, Random& random) const {
  const auto [video, frame] = samples_.at(static_cast<size_t>(sample));
  const int64_t length = video_lengths_[video];
  const int64_t stride = options_.stride;
  const int64_t span = (num_frames_ - 1) * stride;  // from the first frame to the last one
  if (options_.kind == "whole_video")
    return {video, window_from(0, (length + stride - 1) / stride, stride, length)};
  if (options_.kind == "around_frame") return {video, around_frame(length, random)};
  if (options_.kind == "near_and_far") return {video, near_and_far(frame, length, random)};
  if (options_.kind == "uniform_window") {
    const int64_t last_start = span < length ? length - 1 - span : length - 1;
    return {video, window_from(random.integer(0, last_start), num_frames_, stride, length)};
  }
  return {video, window_from(frame - span, num_frames_, stride, length)};
}

/// Mask2Former-VIS: the others are drawn with replacement and never are the frame itself, unless
/// the video has no other.
std::vector<int64_t> ClipSampler::around_frame(int64_t length, Random& random) const {
  const int64_t centre = random.integer(0, length - 1);
  const int64_t low = std::max<int64_t>(0, centre - options_.reach);
  const int64_t high = std::min(length - 1, centre + options_.reach);
  std::vector<int64_t> frames{centre};
  for (int64_t t = 1; t < num_frames_; ++t) {
    if (low == high) {
      frames.push_back(centre);
      continue;
    }
    const int64_t other = random.integer(low, high - 1);
    frames.push_back(other < centre ? other : other + 1);
  }
  std::sort(frames.begin(), frames.end());
  return frames;
}

/// SeqFormer: the neighbours stay within the video. The others are drawn without replacement from
/// the frames outside and the last of the frames drawn so far, if these are more than enough; else
/// from all frames. A video with fewer frames than that gives all of them, again and again, and the
/// rest is drawn without replacement.
std::vector<int64_t> ClipSampler::near_and_far(int64_t frame, int64_t length,
                                               Random& random) const {
  std::vector<int64_t> frames{frame};
  if (num_frames_ > 1)
    frames.push_back(std::max<int64_t>(0, frame - random.integer(1, options_.reach)));
  if (num_frames_ > 2)
    frames.push_back(std::min(length - 1, frame + random.integer(1, options_.reach)));
  const auto [low, high] = std::minmax_element(frames.begin(), frames.end());
  const int64_t first = *low, last = *high;
  int64_t wanted = num_frames_ - static_cast<int64_t>(frames.size());
  std::vector<int64_t> pool;
  const bool enough = length - (last - first) > wanted;
  for (int64_t t = 0; t < length; ++t)
    if (!enough || t < first || t >= last) pool.push_back(t);
  while (wanted > static_cast<int64_t>(pool.size())) {
    frames.insert(frames.end(), pool.begin(), pool.end());
    wanted -= static_cast<int64_t>(pool.size());
  }
  for (; wanted > 0; --wanted) {
    const int64_t chosen = random.integer(0, static_cast<int64_t>(pool.size()) - 1);
    frames.push_back(pool[static_cast<size_t>(chosen)]);
    pool.erase(pool.begin() + chosen);
  }
  std::sort(frames.begin(), frames.end());
  return frames;
}

}  // namespace tessera::data
