#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/interfaces/linker.h"

namespace tessera {

/// Gives the rows of a video's windows their tracks: those that the linker joins go on, the others
/// begin anew. A track that is not joined has ended.
class TrackChain {
 public:
  explicit TrackChain(std::shared_ptr<const Linker> linker) : linker_(std::move(linker)) {}

  /// in: the tracks of the next window in row order; the frames that it shares with the one before.
  /// out: [Q] track of each row; ids count from 0. Throws RuntimeError where the linker joins two
  /// tracks with one row.
  std::vector<int64_t> add(const WindowTracks& next, int64_t overlap);

 private:
  std::shared_ptr<const Linker> linker_;
  WindowTracks before_;               // in track order
  std::vector<int64_t> live_tracks_;  // of before_
  int64_t num_tracks_ = 0;
};

}  // namespace tessera
