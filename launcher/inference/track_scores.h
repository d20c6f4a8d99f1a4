#pragma once

#include <cstdint>
#include <vector>

#include "core/structures/predictions.h"
#include "launcher/inference/inference_options.h"
#include "launcher/inference/select_tracks.h"

namespace tessera {

/// One track as `[inference] select` gives it; with top_k an object may come twice, as two classes.
struct ScoredTrack {
  int64_t id = 0;
  int64_t category = 0;  // index into the data set's categories
  double score = 0.0;
};

/// Classes and scores of a video's tracks, gathered window by window. Memory: the live tracks, and
/// a ScoredTrack for each that ended (top_k: for the best so far).
class TrackScores {
 public:
  /// `options` must outlive this.
  TrackScores(const InferenceOptions& options, int64_t num_categories)
      : options_(options), num_categories_(num_categories) {}

  /// in: classes of a window's new frames, [1,T,Q,C]; the track of each of its rows. Tracks of the
  /// window before that are not among them have ended.
  void add(const ClassLogits& classes, const std::vector<int64_t>& tracks);
  /// The same, but that tracks in `live` go on without a row in this window.
  void add(const ClassLogits& classes, const std::vector<int64_t>& tracks,
           const std::vector<int64_t>& live);

  /// Ends all tracks. out: best first.
  std::vector<ScoredTrack> finish();

 private:
  void end(const TrackSums& sums, const std::vector<int64_t>& tracks);
  at::Tensor mean_probabilities(const TrackSums& sums) const;

  const InferenceOptions& options_;
  int64_t num_categories_;
  ClassLogits coding_;  // how the classes are coded; its logits are not used
  TrackSums live_;
  std::vector<int64_t> live_tracks_;
  std::vector<ScoredTrack> ended_;
};

/// in: classes [1,T,Q,C] and `keep` of [inference]. out: [R] int64, the queries that it leaves.
/// Throws ConfigError where the classes have no "no object" to go by.
at::Tensor kept_queries(const ClassLogits& classes, const std::string& keep);

/// The probabilities of the data set's categories: [...,Q,K], leading dimensions as the logits'.
at::Tensor category_probabilities(const ClassLogits& classes, int64_t num_categories);

}  // namespace tessera
