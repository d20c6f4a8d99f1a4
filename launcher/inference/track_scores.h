#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/interfaces/tracker.h"
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
  TrackScores(const InferenceOptions& options, int64_t num_categories);

  /// in: classes of a window's new frames, [1,T,Q,C], and what the tracker made of its rows. Tracks
  /// without a row in this window go on unless they have ended.
  void add(const ClassLogits& classes, const TrackUpdate& update);
  /// The same with the classes of each of inference.scores, whose rows are the same.
  void add(const std::vector<ClassLogits>& classes, const TrackUpdate& update);

  /// Ends all tracks. out: best first.
  std::vector<ScoredTrack> finish();

 private:
  TrackSums sums_of(const std::vector<ClassLogits>& classes) const;
  void add_rows(TrackSums& sums, const at::Tensor& rows, const TrackSums& more) const;
  void end(const TrackSums& sums, const std::vector<int64_t>& tracks);
  at::Tensor video_probabilities(const TrackSums& sums) const;

  const InferenceOptions& options_;
  int64_t num_categories_;
  std::vector<std::string> averages_;  // of each stage that counts
  std::vector<ClassLogits> codings_;   // how its classes are coded, without logits
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
