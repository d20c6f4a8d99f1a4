#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "core/interfaces/linker.h"

namespace tessera {

/// Gives the rows of a video's windows their tracks: those that the linker joins go on, the others
/// begin anew. A track has ended when no window that the linker remembers holds it: the window
/// before, or any that shares frames with the next.
class TrackChain {
 public:
  explicit TrackChain(std::shared_ptr<const Linker> linker) : linker_(std::move(linker)) {}

  /// in: the tracks of the next window in row order; the frames that it shares with the one before.
  /// out: [Q] track of each row; ids count from 0. Throws RuntimeError where the linker joins two
  /// tracks with one row.
  std::vector<int64_t> add(const WindowTracks& next, int64_t overlap);

  /// Tracks that may go on, ascending.
  std::vector<int64_t> live_tracks() const;

 private:
  struct Window {
    WindowTracks rows;
    std::vector<int64_t> tracks;  // of its rows
  };

  at::Tensor linked_to(const std::vector<int64_t>& live, const WindowTracks& next,
                       int64_t overlap) const;
  void remember(const WindowTracks& next, const std::vector<int64_t>& track_of_row,
                const std::vector<int64_t>& order);
  void forget_before(int64_t frame);

  std::shared_ptr<const Linker> linker_;
  std::deque<Window> windows_;  // oldest first; a single one unless the linker remembers windows
  int64_t num_tracks_ = 0;
};

}  // namespace tessera
