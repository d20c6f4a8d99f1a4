#include "core/interfaces/linker.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/matching/assignment.h"

namespace tessera {

at::Tensor Linker::history_cost(const TrackHistory& history, const WindowTracks& next) const {
  at::Tensor sum, count = at::zeros({history.num_tracks, 1});
  for (const TrackHistory::Window& window : history.windows) {
    const int64_t overlap = shared_frames(window.rows, next);
    if (overlap < needed_overlap()) continue;
    const at::Tensor costs = cost(window.rows, next, overlap);
    if (!sum.defined()) sum = at::zeros({history.num_tracks, costs.size(1)});
    sum.index_add_(0, window.track, costs.to(at::kCPU, at::kFloat));
    count.index_add_(0, window.track, at::ones({window.track.size(0), 1}));
  }
  return sum.defined() ? sum / count.clamp_min(1) : sum;
}

at::Tensor Linker::assign(const at::Tensor& costs, int64_t num_tracks) const {
  at::Tensor linked = at::full({num_tracks}, -1, at::kLong);
  if (!costs.defined() || costs.numel() == 0) return linked;
  const at::Tensor host = costs.to(at::kCPU, at::kDouble).contiguous();
  const auto cost_of = host.accessor<double, 2>();
  for (const auto& [row, column] : assign_minimum_cost(host))
    if (cost_of[row][column] <= largest_cost()) linked[row] = column;
  return linked;
}

at::Tensor Linker::link(const WindowTracks& before, const WindowTracks& next,
                        int64_t overlap) const {
  if (overlap < needed_overlap())
    throw RuntimeError("linker: expected windows that share at least " +
                       std::to_string(needed_overlap()) + " frames, got " +
                       std::to_string(overlap) + ".");
  return assign(cost(before, next, overlap), before.class_probabilities.size(0));
}

at::Tensor Linker::link(const TrackHistory& history, const WindowTracks& next) const {
  return assign(history_cost(history, next), history.num_tracks);
}

int64_t shared_frames(const WindowTracks& before, const WindowTracks& next) {
  if (!before.mask_logits.defined() || !next.mask_logits.defined()) return 0;
  const int64_t end = std::min(before.first_frame + before.mask_logits.size(1),
                               next.first_frame + next.mask_logits.size(1));
  return std::max<int64_t>(0, end - next.first_frame);
}

}  // namespace tessera
