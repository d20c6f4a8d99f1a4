#include "launcher/inference/track_joiner.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <utility>

namespace tessera {

TrackJoiner::TrackJoiner(const VideoOptions& options, CheckedTracker tracker, at::Device device,
                         std::shared_ptr<MaskStore> store, bool is_single)
    : options_(options),
      tracker_(std::move(tracker)),
      scores_(options.inference, options.num_categories),
      masks_(options, device, std::move(store)),
      is_single_(is_single),
      merges_(options.inference.merge == "mean" && !is_single) {}

std::vector<int64_t> TrackJoiner::add(const SeenRows& rows) {
  part_ = rows.window;
  first_frame_ = decided_;
  TrackerInput input = rows.tracker;
  input.overlap = decided_ - part_.start;
  const TrackUpdate update = tracker_.update(input);
  for (const int64_t track : update.discarded) masks_.discard(track);
  const int64_t end = part_.start + part_.length;
  const int64_t first = merges_ ? part_.start : decided_;
  std::vector<ClassLogits> counted;
  for (const ClassLogits& classes : rows.scored())
    counted.push_back(some_frames(classes, first - part_.start, end - first));
  scores_.add(counted, update);
  track_of_row_ = update.track_of_row;
  frame_scores_ = frame_scores(rows.classes, options_.num_categories);
  if (is_single_) single_ = scores_.finish();
  decided_ = end;
  return track_of_row_;
}

std::vector<int64_t> TrackJoiner::wanted_rows() const {
  std::set<int64_t> kept;
  for (const ScoredTrack& track : single_) kept.insert(track.id);
  std::vector<int64_t> rows;
  for (size_t row = 0; row < track_of_row_.size(); ++row)
    if (!is_single_ || kept.contains(track_of_row_[row])) rows.push_back(static_cast<int64_t>(row));
  return rows;
}

void TrackJoiner::store(const RowMasks& masks, std::optional<int64_t> next_start) {
  const int64_t end = masks.window.start + masks.window.length;
  const at::Tensor scores =
      frame_scores_.narrow(0, masks.window.start - part_.start, masks.window.length);
  if (merges_) {
    masks_.add_to_means(masks, scores, track_of_row_);
    masks_.store_means(next_start.value_or(end), masks.geometry);
  } else {
    masks_.store(masks, scores, std::max(first_frame_, masks.window.start), wanted_rows(),
                 track_of_row_);
  }
}

std::vector<ScoredTrack> TrackJoiner::finish() {
  std::vector<ScoredTrack> tracks = is_single_ ? std::move(single_) : scores_.finish();
  std::erase_if(tracks, [this](const ScoredTrack& track) { return !masks_.has(track.id); });
  if (options_.inference.mask_quality == "none") return tracks;
  for (ScoredTrack& track : tracks) track.score *= masks_.quality(track.id);
  std::stable_sort(tracks.begin(), tracks.end(),
                   [](const ScoredTrack& a, const ScoredTrack& b) { return a.score > b.score; });
  return tracks;
}

}  // namespace tessera
