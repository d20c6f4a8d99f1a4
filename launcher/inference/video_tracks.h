#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "launcher/data/rle.h"
#include "launcher/inference/mask_store.h"
#include "launcher/inference/track_scores.h"

namespace tessera {

/// The objects of a video. Their masks are on disk and read when asked for.
class VideoTracks {
 public:
  using Track = ScoredTrack;
  VideoTracks(std::vector<Track> tracks, std::shared_ptr<const MaskStore> masks,
              int64_t seen_frames, int64_t num_frames)
      : tracks_(std::move(tracks)),
        masks_(std::move(masks)),
        seen_frames_(seen_frames),
        num_frames_(num_frames) {}

  /// Those with at least one pixel, best first.
  const std::vector<Track>& tracks() const { return tracks_; }
  /// Entries of each track's list: the video's frames, or fewer with `[inference] fill = "none"`.
  int64_t num_frames() const { return num_frames_; }
  /// A track's mask in a frame of the list; none where the object is absent.
  std::optional<data::Rle> mask(const Track& track, int64_t frame) const;
  /// The whole list.
  std::vector<std::optional<data::Rle>> masks(const Track& track) const;

 private:
  std::vector<Track> tracks_;
  std::shared_ptr<const MaskStore> masks_;
  int64_t seen_frames_, num_frames_;
};

}  // namespace tessera
