#include "launcher/inference/checked_tracker.h"

#include <algorithm>

#include "core/error.h"

namespace tessera {

void CheckedTracker::fail(const std::string& expected, int64_t got) const {
  throw PluginError("tracker '" + name_ + "': expected " + expected + ", got " +
                    std::to_string(got) + ".");
}

TrackUpdate CheckedTracker::update(const TrackerInput& input) {
  TrackUpdate update = tracker_->update(input);
  const int64_t num_rows = input.rows.class_probabilities.size(0);
  if (static_cast<int64_t>(update.track_of_row.size()) != num_rows)
    fail("a track, or -1, for each of " + std::to_string(num_rows) + " rows",
         static_cast<int64_t>(update.track_of_row.size()));
  std::unordered_set<int64_t> present;
  int64_t largest = num_tracks_ - 1;
  for (const int64_t track : update.track_of_row) {
    if (track == -1) continue;
    if (track < 0) fail("numbers of tracks from 0 on, or -1", track);
    if (!present.insert(track).second) fail("one row for a track, got two: track", track);
    if (closed_.contains(track)) fail("no track that has ended or was discarded", track);
    largest = std::max(largest, track);
  }
  for (; num_tracks_ <= largest; ++num_tracks_)
    if (!present.contains(num_tracks_))
      fail("the next new track to have number " + std::to_string(num_tracks_), largest);
  for (const int64_t track : update.ended) close(track, {}, false);
  for (const int64_t track : update.discarded) close(track, present, true);
  return update;
}

void CheckedTracker::close(int64_t track, const std::unordered_set<int64_t>& present,
                           bool is_discarded) {
  const std::string what = is_discarded ? "discarded" : "ended";
  if (track < 0 || track >= num_tracks_) fail("a known track in " + what, track);
  if (present.contains(track)) fail("no row for a discarded track", track);
  if (!closed_.insert(track).second) fail("every track once in ended or discarded", track);
}

}  // namespace tessera
