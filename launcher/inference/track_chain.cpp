#include "launcher/inference/track_chain.h"

#include <ATen/ATen.h>

#include "core/error.h"

namespace tessera {

std::vector<int64_t> TrackChain::add(const WindowTracks& next, int64_t overlap) {
  const int64_t num_rows = next.class_probabilities.size(0);
  std::vector<int64_t> track_of_row(num_rows, -1), rows;
  if (!live_tracks_.empty()) {
    const at::Tensor linked = linker_->link(before_, next, overlap);
    for (size_t i = 0; i < live_tracks_.size(); ++i) {
      const int64_t row = linked[static_cast<int64_t>(i)].item<int64_t>();
      if (row < 0) continue;
      if (track_of_row.at(row) >= 0)
        throw RuntimeError("linker: expected every track to go on with a row of its own, got row " +
                           std::to_string(row) + " twice.");
      track_of_row[row] = live_tracks_[i];
      rows.push_back(row);
    }
  }
  for (int64_t row = 0; row < num_rows; ++row) {
    if (track_of_row[row] >= 0) continue;
    track_of_row[row] = num_tracks_++;
    rows.push_back(row);
  }
  auto ordered = [&](const at::Tensor& x) {
    return x.defined() ? x.index_select(0, at::tensor(rows).to(x.device())) : x;
  };
  before_.first_frame = next.first_frame;
  before_.embeddings = ordered(next.embeddings);
  before_.class_probabilities = ordered(next.class_probabilities);
  before_.mask_logits = ordered(next.mask_logits);
  live_tracks_.clear();
  for (const int64_t row : rows) live_tracks_.push_back(track_of_row[row]);
  return track_of_row;
}

}  // namespace tessera
