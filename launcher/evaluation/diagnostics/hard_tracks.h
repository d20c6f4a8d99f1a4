#pragma once

#include <vector>

#include "launcher/evaluation/diagnostics/video_tracks.h"

namespace tessera::evaluation {

/// A prediction with one label that shares no pixel with another.
struct HardTrack {
  size_t category = 0;
  Masks masks;
};

/// The rules of tracking_sequences, up to crowds. Surest first.
std::vector<HardTrack> hard_tracks(const VideoTracks& video, double score_threshold);

}  // namespace tessera::evaluation
