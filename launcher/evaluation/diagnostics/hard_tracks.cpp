#include "launcher/evaluation/diagnostics/hard_tracks.h"

#include <algorithm>

#include "launcher/evaluation/diagnostics/overlaps.h"

namespace tessera::evaluation {
namespace {

bool has_same_pixels(const PredictedTrack& a, const PredictedTrack& b) {
  if (a.areas != b.areas) return false;
  for (size_t t = 0; t < a.areas.size(); ++t) {
    if (a.areas[t] > 0 && common_pixels((*a.masks)[t], (*b.masks)[t]) != a.areas[t]) return false;
  }
  return true;
}

bool has_pixels(const PredictedTrack& track) {
  return std::any_of(track.areas.begin(), track.areas.end(), [](uint32_t a) { return a > 0; });
}

std::vector<const PredictedTrack*> chosen_tracks(const VideoTracks& video, double threshold) {
  std::vector<const PredictedTrack*> sure;
  for (const PredictedTrack& track : video.predictions) {
    if (track.score >= threshold && has_pixels(track)) sure.push_back(&track);
  }
  std::stable_sort(sure.begin(), sure.end(), [](const PredictedTrack* a, const PredictedTrack* b) {
    return a->score > b->score;
  });
  std::vector<const PredictedTrack*> chosen;
  for (const PredictedTrack* track : sure) {
    const auto is_same = [&](const PredictedTrack* other) {
      return has_same_pixels(*track, *other);
    };
    if (std::none_of(chosen.begin(), chosen.end(), is_same)) chosen.push_back(track);
  }
  return chosen;
}

}  // namespace

std::vector<HardTrack> hard_tracks(const VideoTracks& video, double score_threshold) {
  const std::vector<const PredictedTrack*> chosen = chosen_tracks(video, score_threshold);
  std::vector<HardTrack> tracks;
  for (const PredictedTrack* track : chosen) tracks.push_back({track->category, *track->masks});
  for (size_t t = 0; t < video.num_frames; ++t) {
    std::optional<data::Rle> taken;
    for (HardTrack& track : tracks) {
      std::optional<data::Rle>& mask = track.masks[t];
      if (!mask) continue;
      if (!taken) {
        taken = mask;
        continue;
      }
      const data::Rle all = data::merge(*taken, *mask);
      if (common_pixels(taken, mask) > 0) mask = data::subtract(*mask, *taken);
      taken = all;
    }
  }
  return tracks;
}

}  // namespace tessera::evaluation
