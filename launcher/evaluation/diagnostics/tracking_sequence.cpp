#include "launcher/evaluation/diagnostics/tracking_sequence.h"

#include <algorithm>

#include "launcher/evaluation/diagnostics/hard_tracks.h"
#include "launcher/evaluation/diagnostics/overlaps.h"

namespace tessera::evaluation {
namespace {

/// Tracks of one category.
struct Members {
  std::vector<const TruthTrack*> truths;
  std::vector<const TruthTrack*> crowds;
  std::vector<const Masks*> predictions;
};

uint32_t crowd_pixels(const std::optional<data::Rle>& mask,
                      const std::vector<const TruthTrack*>& crowds, size_t frame) {
  std::optional<data::Rle> all;
  for (const TruthTrack* crowd : crowds) {
    const auto& one = (*crowd->masks)[frame];
    if (one) all = all ? data::merge(*all, *one) : one;
  }
  return common_pixels(mask, all);
}

TrackingFrame frame_of(const Members& members, size_t frame) {
  TrackingFrame result;
  for (size_t g = 0; g < members.truths.size(); ++g) {
    if (members.truths[g]->areas[frame] > 0) result.truths.push_back(g);
  }
  std::vector<std::vector<double>> columns;  // [predictions, truths]
  for (size_t p = 0; p < members.predictions.size(); ++p) {
    const std::optional<data::Rle>& mask = (*members.predictions[p])[frame];
    const uint64_t area = mask ? data::area(*mask) : 0;
    if (area == 0) continue;
    std::vector<double> ious;
    for (const size_t g : result.truths) {
      const uint64_t both = common_pixels(mask, (*members.truths[g]->masks)[frame]);
      const uint64_t either = area + members.truths[g]->areas[frame] - both;
      ious.push_back(static_cast<double>(both) / static_cast<double>(either));
    }
    const bool is_on_track =
        std::any_of(ious.begin(), ious.end(), [](double iou) { return iou >= kTrackingIou; });
    if (!is_on_track && 2 * uint64_t{crowd_pixels(mask, members.crowds, frame)} > area) continue;
    result.predictions.push_back(p);
    columns.push_back(std::move(ious));
  }
  for (size_t row = 0; row < result.truths.size(); ++row) {
    for (const std::vector<double>& column : columns) result.ious.push_back(column[row]);
  }
  return result;
}

}  // namespace

std::map<size_t, TrackingSequence> tracking_sequences(const VideoTracks& video,
                                                      double score_threshold) {
  const std::vector<HardTrack> tracks = hard_tracks(video, score_threshold);
  std::map<size_t, Members> members;
  for (const TruthTrack& truth : video.truths) {
    Members& of_category = members[truth.category];
    (truth.is_crowd ? of_category.crowds : of_category.truths).push_back(&truth);
  }
  for (const HardTrack& track : tracks) members[track.category].predictions.push_back(&track.masks);
  std::map<size_t, TrackingSequence> sequences;
  for (const auto& [category, of_category] : members) {
    TrackingSequence& sequence = sequences[category];
    sequence.num_truths = of_category.truths.size();
    sequence.num_predictions = of_category.predictions.size();
    for (size_t t = 0; t < video.num_frames; ++t) {
      sequence.frames.push_back(frame_of(of_category, t));
    }
  }
  return sequences;
}

}  // namespace tessera::evaluation
