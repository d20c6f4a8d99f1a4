#include "launcher/inference/video_tracks.h"

#include <algorithm>

namespace tessera {

std::optional<data::Rle> VideoTracks::mask(const Track& track, int64_t frame) const {
  return masks_->get(track.id, std::min(frame, seen_frames_ - 1));
}

std::vector<std::optional<data::Rle>> VideoTracks::masks(const Track& track) const {
  std::vector<std::optional<data::Rle>> list;
  for (int64_t frame = 0; frame < num_frames_; ++frame) list.push_back(mask(track, frame));
  return list;
}

}  // namespace tessera
