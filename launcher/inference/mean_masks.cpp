#include "launcher/inference/mean_masks.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace tessera {

void MeanMasks::add(int64_t frame, const std::vector<int64_t>& tracks, const at::Tensor& logits,
                    const at::Tensor& score) {
  if (tracks.empty()) return;
  Sums& sums = frames_[frame];
  std::vector<int64_t> places;
  for (const int64_t track : tracks) {
    const auto found = std::find(sums.tracks.begin(), sums.tracks.end(), track);
    places.push_back(found - sums.tracks.begin());
    if (found == sums.tracks.end()) sums.tracks.push_back(track);
  }
  const auto grown = [&sums](const at::Tensor& all, const at::Tensor& like) {
    std::vector<int64_t> sizes = like.sizes().vec();
    sizes[0] = static_cast<int64_t>(sums.tracks.size()) - (all.defined() ? all.size(0) : 0);
    const at::Tensor more = at::zeros(sizes, like.options());
    return all.defined() ? at::cat({all, more}) : more;
  };
  const at::Tensor once = at::ones_like(score);
  sums.logits = grown(sums.logits, logits);
  sums.score = grown(sums.score, score);
  sums.count = grown(sums.count, once);
  const at::Tensor index = at::tensor(places);
  sums.logits.index_add_(0, index.to(logits.device()), logits);
  sums.score.index_add_(0, index, score);
  sums.count.index_add_(0, index, once);
}

std::map<int64_t, MeanMasks::Frame> MeanMasks::take(int64_t end) {
  std::map<int64_t, Frame> taken;
  while (!frames_.empty() && frames_.begin()->first < end) {
    Sums& sums = frames_.begin()->second;
    taken[frames_.begin()->first] = {
        std::move(sums.tracks), sums.logits / sums.count.to(sums.logits.options()).view({-1, 1, 1}),
        sums.score / sums.count};
    frames_.erase(frames_.begin());
  }
  return taken;
}

}  // namespace tessera
