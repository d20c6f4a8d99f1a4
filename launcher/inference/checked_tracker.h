#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>

#include "core/interfaces/tracker.h"

namespace tessera {

/// A tracker at work on one video, whose answers are checked: plugins may be wrong.
class CheckedTracker {
 public:
  /// in: name of the tracker, for errors.
  CheckedTracker(std::unique_ptr<VideoTracker> tracker, std::string name)
      : tracker_(std::move(tracker)), name_(std::move(name)) {}

  /// Throws PluginError unless every row gets a track or -1, no track comes twice, new tracks are
  /// numbered from 0 in the order of their birth, and tracks that ended or were discarded stay
  /// away.
  TrackUpdate update(const TrackerInput& input);

 private:
  [[noreturn]] void fail(const std::string& expected, int64_t got) const;
  void close(int64_t track, const std::unordered_set<int64_t>& present, bool is_discarded);

  std::unique_ptr<VideoTracker> tracker_;
  std::string name_;
  int64_t num_tracks_ = 0;
  std::unordered_set<int64_t> closed_;
};

}  // namespace tessera
