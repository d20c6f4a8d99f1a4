#pragma once

#include <map>
#include <string>
#include <vector>

#include "launcher/evaluation/diagnostics/diagnostics.h"
#include "launcher/evaluation/diagnostics/overlaps.h"
#include "launcher/evaluation/diagnostics/tracking_sequence.h"

namespace tessera::evaluation {

/// What a measure gets to see of a video.
struct VideoEvidence {
  const VideoOverlaps& overlaps;
  const std::map<size_t, TrackingSequence>& sequences;  // by category
};

/// One diagnostic: sees every video once, then says its numbers for each category.
class Measure {
 public:
  virtual ~Measure() = default;

  /// in: `slot`, the rank of the video by id. Called from many threads, never twice for a slot.
  virtual void add(size_t slot, const VideoEvidence& video) = 0;
  /// By category, every one with the same groups and names. Called once, after the last video.
  virtual std::vector<std::vector<DiagnosticGroup>> groups() = 0;
};

/// What a measure keeps of each video and category, so that sums have the same order whatever the
/// threads. A Record adds up with +=.
template <typename Record>
class Records {
 public:
  Records(size_t num_videos, size_t num_categories)
      : slots_(num_videos), num_categories_(num_categories) {}

  Record& at(size_t slot, size_t category) { return slots_[slot][category]; }

  /// The sums by category, videos by ascending id; what was kept is gone.
  std::vector<Record> take_sums() {
    std::vector<Record> sums(num_categories_);
    for (auto& slot : slots_) {
      for (auto& [category, record] : slot) sums[category] += record;
      slot.clear();
    }
    return sums;
  }

 private:
  std::vector<std::map<size_t, Record>> slots_;
  size_t num_categories_;
};

/// How many videos and categories (by index) the records are for.
struct DiagnosticSizes {
  size_t num_videos = 0;
  size_t num_categories = 0;
};

}  // namespace tessera::evaluation
