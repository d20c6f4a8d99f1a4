#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/interfaces/linker.h"
#include "core/interfaces/part.h"

namespace tessera {

/// The rows of one window of a video, as a tracker sees them. Good for the call; tensors may be
/// kept.
struct TrackerInput {
  WindowTracks rows;
  int64_t num_frames = 0;     // T of the window
  int64_t overlap = 0;        // of them, the first so many were in the window before, too
  at::Tensor class_logits{};  // [Q,C], mean over the window's frames, coded as the head codes them
  at::Tensor identity{};      // [Q,E] of the instance head, or undefined
  /// [Q] the query that each row is; empty: row r is query r.
  std::vector<int64_t> queries{};
};

/// What becomes of a window's rows. Tracks are numbered from 0 in the order of their birth.
struct TrackUpdate {
  /// [Q] track of each row; -1: the row is no object, or a duplicate. No track twice.
  std::vector<int64_t> track_of_row{};
  std::vector<int64_t> ended{};      // tracks that never come back: their scores are final
  std::vector<int64_t> discarded{};  // tracks that were none after all: no result, never to return
};

/// The tracks of one video while its windows come in order.
class TESSERA_API VideoTracker {
 public:
  virtual ~VideoTracker();
  virtual TrackUpdate update(const TrackerInput& input) = 0;
};

/// Gives the rows of a video's windows their tracks: births, deaths, returns, duplicates. Where one
/// assignment of neighbouring windows is enough, write a Linker: the tracker "linked" runs it.
class TESSERA_API Tracker : public Part {
 public:
  static constexpr const char* kKind = "tracker";
  ~Tracker() override;
  /// Whether WindowTracks::mask_logits is given.
  virtual bool wants_masks() const { return false; }
  /// The same for a video of a single window, whose masks may be those of many frames.
  virtual bool wants_masks_of_single_window() const { return wants_masks(); }
  /// The fewest frames that two neighbouring windows must share.
  virtual int64_t needed_overlap() const { return 0; }
  /// One for each video, with nothing remembered; several may be at work at once.
  virtual std::unique_ptr<VideoTracker> begin() const = 0;
};

}  // namespace tessera
