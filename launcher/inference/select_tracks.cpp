#include "launcher/inference/select_tracks.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace tessera {

SelectedTracks select_slots(const at::Tensor& probabilities) {
  const auto [best, label] = probabilities.max(-1);  // [T,Q]
  const int64_t classes = probabilities.size(-1);
  // Votes as one-hot counts; argmax gives the first, that is the smallest, of equal counts.
  const at::Tensor votes = at::one_hot(label, classes).sum(0);  // [Q,K]
  SelectedTracks tracks;
  tracks.rows = at::arange(probabilities.size(1), label.options());
  tracks.category = votes.argmax(-1);
  tracks.frame_score = best;
  tracks.score = best.mean(0);
  return tracks;
}

SelectedTracks select_top_k(const at::Tensor& probabilities, int64_t count) {
  const at::Tensor mean = probabilities.mean(0);  // [Q,K]
  const int64_t classes = mean.size(1);
  const auto [score, index] = mean.flatten().topk(std::min(count, mean.numel()));
  SelectedTracks tracks;
  tracks.rows = at::floor_divide(index, classes);
  tracks.category = at::remainder(index, classes);
  tracks.score = score;
  tracks.frame_score = score.unsqueeze(0).expand({probabilities.size(0), -1});
  return tracks;
}

at::Tensor resize_mask_logits(const at::Tensor& logits, const FrameGeometry& g) {
  auto resize = [](const at::Tensor& x, int64_t height, int64_t width) {
    if (x.size(2) == height && x.size(3) == width) return x;
    return at::upsample_bilinear2d(x, {height, width}, /*align_corners=*/false);
  };
  at::Tensor x = logits;
  if (g.padded_height != g.height || g.padded_width != g.width)
    x = resize(x, g.padded_height, g.padded_width).slice(2, 0, g.height).slice(3, 0, g.width);
  return resize(x, g.original_height, g.original_width);
}

}  // namespace tessera
