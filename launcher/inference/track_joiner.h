#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "launcher/inference/checked_tracker.h"
#include "launcher/inference/seen_rows.h"
#include "launcher/inference/track_masks.h"
#include "launcher/inference/track_scores.h"

namespace tessera {

/// Joins what the model says of the parts of one video, windows or pieces of windows, into tracks.
class TrackJoiner {
 public:
  /// `options` must outlive it. With `is_single` the video has one part: its best tracks are then
  /// known before any mask is made.
  TrackJoiner(const VideoOptions& options, CheckedTracker tracker, at::Device device,
              std::shared_ptr<MaskStore> store, bool is_single);

  /// Gives the rows of the next part their tracks, and counts their classes. out: [R] the track of
  /// each row, or -1.
  std::vector<int64_t> add(const SeenRows& rows);
  /// Stores the masks of the part that was added last, or of some of its frames. in: the first
  /// frame that a further part may see, or nothing if there is none.
  void store(const RowMasks& masks, std::optional<int64_t> next_start);

  /// The tracks that are selected and have a mask, best first.
  std::vector<ScoredTrack> finish();

 private:
  std::vector<int64_t> wanted_rows() const;

  const VideoOptions& options_;
  CheckedTracker tracker_;
  TrackScores scores_;
  TrackMasks masks_;
  bool is_single_, merges_;
  int64_t decided_ = 0;  // frames that the parts before the last have seen
  // Of the part that was added last.
  Window part_;
  int64_t first_frame_ = 0;  // that no part before it has seen
  std::vector<int64_t> track_of_row_;
  at::Tensor frame_scores_;          // [T,R]
  std::vector<ScoredTrack> single_;  // the tracks of a single part
};

}  // namespace tessera
