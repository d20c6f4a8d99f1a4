#include "launcher/inference/track_chain.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "core/error.h"

namespace tessera {

std::vector<int64_t> TrackChain::live_tracks() const {
  if (windows_.empty()) return {};
  // With one window its own order: that of the linker's rows.
  if (!linker_->remembers_windows()) return windows_.back().tracks;
  std::set<int64_t> live;
  for (const Window& window : windows_) live.insert(window.tracks.begin(), window.tracks.end());
  return {live.begin(), live.end()};
}

void TrackChain::forget_before(int64_t frame) {
  if (!linker_->remembers_windows()) return;
  while (!windows_.empty() &&
         windows_.front().rows.first_frame + windows_.front().rows.mask_logits.size(1) <= frame)
    windows_.pop_front();
}

at::Tensor TrackChain::linked_to(const std::vector<int64_t>& live, const WindowTracks& next,
                                 int64_t overlap) const {
  if (!linker_->remembers_windows()) return linker_->link(windows_.back().rows, next, overlap);
  TrackHistory history;
  history.num_tracks = static_cast<int64_t>(live.size());
  for (const Window& window : windows_) {
    std::vector<int64_t> places;
    for (const int64_t track : window.tracks)
      places.push_back(std::lower_bound(live.begin(), live.end(), track) - live.begin());
    history.windows.push_back({window.rows, at::tensor(places, at::kLong)});
  }
  return linker_->link(history, next);
}

std::vector<int64_t> TrackChain::add(const WindowTracks& next, int64_t overlap) {
  const int64_t num_rows = next.class_probabilities.size(0);
  std::vector<int64_t> track_of_row(num_rows, -1), order;
  forget_before(next.first_frame);
  if (const std::vector<int64_t> live = live_tracks(); !live.empty()) {
    const at::Tensor linked = linked_to(live, next, overlap);
    for (size_t i = 0; i < live.size(); ++i) {
      const int64_t row = linked[static_cast<int64_t>(i)].item<int64_t>();
      if (row < 0) continue;
      if (track_of_row.at(row) >= 0)
        throw RuntimeError("linker: expected every track to go on with a row of its own, got row " +
                           std::to_string(row) + " twice.");
      track_of_row[row] = live[i];
      order.push_back(row);
    }
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    if (track_of_row[row] >= 0) continue;
    track_of_row[row] = num_tracks_++;
    order.push_back(row);
  }
  remember(next, track_of_row, order);
  return track_of_row;
}

void TrackChain::remember(const WindowTracks& next, const std::vector<int64_t>& track_of_row,
                          const std::vector<int64_t>& order) {
  const at::Tensor rows = at::tensor(order, at::kLong);
  const auto ordered = [&rows](const at::Tensor& x) {
    return x.defined() ? x.index_select(0, rows.to(x.device())) : x;
  };
  if (!linker_->remembers_windows()) windows_.clear();
  Window& window = windows_.emplace_back();
  window.rows.first_frame = next.first_frame;
  window.rows.embeddings = ordered(next.embeddings);
  window.rows.class_probabilities = ordered(next.class_probabilities);
  window.rows.mask_logits = ordered(next.mask_logits);
  for (const int64_t row : order) window.tracks.push_back(track_of_row[row]);
}

}  // namespace tessera
