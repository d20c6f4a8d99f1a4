#include "launcher/inference/select_tracks.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace tessera {

TrackSums sum_frames(const at::Tensor& probabilities, const at::Tensor& averaged) {
  const auto [best, label] = probabilities.max(-1);  // [T,Q]
  TrackSums sums;
  sums.frames = at::full({probabilities.size(1)}, probabilities.size(0), at::kLong);
  sums.votes = at::one_hot(label, probabilities.size(-1)).sum(0).to(at::kCPU);
  sums.best = best.to(at::kDouble).sum(0).to(at::kCPU);
  sums.classes = {averaged.to(at::kDouble).sum(0).to(at::kCPU)};
  return sums;
}

SelectedTracks select_slots(const TrackSums& sums) {
  SelectedTracks tracks;
  tracks.rows = at::arange(sums.frames.size(0));
  // argmax gives the first, that is the smallest, of equal counts.
  tracks.category = sums.votes.argmax(-1);
  tracks.score = sums.best / sums.frames;
  return tracks;
}

SelectedTracks select_top_k(const at::Tensor& probabilities, int64_t count) {
  const int64_t classes = probabilities.size(1);
  const auto [score, index] = probabilities.flatten().topk(std::min(count, probabilities.numel()));
  SelectedTracks tracks;
  tracks.rows = at::floor_divide(index, classes);
  tracks.category = at::remainder(index, classes);
  tracks.score = score;
  return tracks;
}

SelectedTracks select_above(const at::Tensor& probabilities, double threshold) {
  const at::Tensor pairs = (probabilities > threshold).nonzero();  // by row, then by column
  SelectedTracks tracks;
  tracks.rows = pairs.select(1, 0);
  tracks.category = pairs.select(1, 1);
  tracks.score = probabilities.index({tracks.rows, tracks.category});
  return tracks;
}

namespace {

at::Tensor resized(const at::Tensor& x, int64_t height, int64_t width) {
  if (x.size(2) == height && x.size(3) == width) return x;
  return at::upsample_bilinear2d(x, {height, width}, /*align_corners=*/false);
}

}  // namespace

at::Tensor unpadded_mask_logits(const at::Tensor& logits, const FrameGeometry& g) {
  return resized(logits, g.padded_height, g.padded_width)
      .slice(2, 0, g.height)
      .slice(3, 0, g.width);
}

at::Tensor resize_mask_logits(const at::Tensor& logits, const FrameGeometry& g) {
  const bool is_padded = g.padded_height != g.height || g.padded_width != g.width;
  return resized(is_padded ? unpadded_mask_logits(logits, g) : logits, g.original_height,
                 g.original_width);
}

}  // namespace tessera
