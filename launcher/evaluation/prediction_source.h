#pragma once

#include <string>

#include "launcher/evaluation/result_index.h"
#include "launcher/evaluation/results.h"
#include "launcher/evaluation/tracks.h"

namespace tessera::evaluation {

/// Where predictions come from: from memory, or from an index that decodes their masks when asked.
class Predictions {
 public:
  explicit Predictions(const Results& results) : results_(&results) {}
  explicit Predictions(const ResultIndex& index) : index_(&index) {}

  size_t size() const {
    return index_ != nullptr ? index_->entries().size() : results_->tracks.size();
  }
  ResultIndex::Entry entry(size_t i) const {
    if (index_ != nullptr) return index_->entries()[i];
    const ResultTrack& track = results_->tracks[i];
    return {track.video_id, track.category_id, track.score};
  }
  /// The masks of a prediction; kept in `decoded` where they are not in memory.
  const Masks& masks(size_t i, Masks& decoded) const {
    if (index_ == nullptr) return results_->tracks[i].segmentations;
    decoded = index_->masks(i);
    return decoded;
  }
  /// Names a prediction in an error.
  std::string place(size_t i) const {
    const std::string file =
        results_ == nullptr || results_->file.empty() ? "results" : results_->file.string();
    return file + ": result " + std::to_string(i) + " (video " + std::to_string(entry(i).video_id) +
           ")";
  }

 private:
  const Results* results_ = nullptr;
  const ResultIndex* index_ = nullptr;
};

}  // namespace tessera::evaluation
