#include "launcher/inference/track_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"

namespace tessera {
namespace {

TrackSums rows_of(const TrackSums& sums, const at::Tensor& rows) {
  return {sums.frames.index_select(0, rows), sums.votes.index_select(0, rows),
          sums.best.index_select(0, rows), sums.classes.index_select(0, rows)};
}

void add_rows(TrackSums& sums, const at::Tensor& rows, const TrackSums& more) {
  sums.frames.index_add_(0, rows, more.frames);
  sums.votes.index_add_(0, rows, more.votes);
  sums.best.index_add_(0, rows, more.best);
  sums.classes.index_add_(0, rows, more.classes);
}

TrackSums joined(const TrackSums& a, const TrackSums& b) {
  return {at::cat({a.frames, b.frames}), at::cat({a.votes, b.votes}), at::cat({a.best, b.best}),
          at::cat({a.classes, b.classes})};
}

}  // namespace

at::Tensor category_probabilities(const ClassLogits& classes, int64_t num_categories) {
  return classes.probabilities().narrow(-1, classes.label_offset, num_categories);
}

at::Tensor kept_queries(const ClassLogits& classes, const std::string& keep) {
  const int64_t queries = classes.logits.size(2);
  if (keep == "all") return at::arange(queries, classes.logits.options().dtype(at::kLong));
  if (classes.activation != ClassActivation::softmax_no_object)
    throw ConfigError(
        "inference.keep: expected \"all\" beside a head without a no-object class, got \"" + keep +
        "\".");
  const at::Tensor best = classes.logits.select(0, 0).softmax(-1).mean(0).argmax(-1);  // [Q]
  return (best < classes.num_classes()).nonzero().squeeze(1);
}

void TrackScores::add(const ClassLogits& classes, const std::vector<int64_t>& tracks) {
  add(classes, tracks, tracks);
}

void TrackScores::add(const ClassLogits& classes, const std::vector<int64_t>& tracks,
                      const std::vector<int64_t>& live) {
  coding_ = classes;
  coding_.logits = at::Tensor();
  const at::Tensor probabilities =
      category_probabilities(classes, num_categories_).select(0, 0);  // [T,Q,K]
  TrackSums now = sum_frames(
      probabilities, options_.average == "logits" ? classes.logits.select(0, 0) : probabilities);
  std::unordered_map<int64_t, int64_t> row_of_track;
  for (size_t row = 0; row < tracks.size(); ++row)
    row_of_track[tracks[row]] = static_cast<int64_t>(row);
  const std::unordered_set<int64_t> may_go_on(live.begin(), live.end());
  std::vector<int64_t> from, to, absent, absent_tracks, gone, gone_tracks;
  for (size_t row = 0; row < live_tracks_.size(); ++row) {
    const int64_t track = live_tracks_[row];
    if (const auto found = row_of_track.find(track); found != row_of_track.end()) {
      from.push_back(static_cast<int64_t>(row));
      to.push_back(found->second);
    } else if (may_go_on.contains(track)) {
      absent.push_back(static_cast<int64_t>(row));
      absent_tracks.push_back(track);
    } else {
      gone.push_back(static_cast<int64_t>(row));
      gone_tracks.push_back(track);
    }
  }
  if (!gone.empty()) end(rows_of(live_, at::tensor(gone)), gone_tracks);
  if (!from.empty()) add_rows(now, at::tensor(to), rows_of(live_, at::tensor(from)));
  if (!absent.empty()) now = joined(now, rows_of(live_, at::tensor(absent)));
  live_ = std::move(now);
  live_tracks_ = tracks;
  live_tracks_.insert(live_tracks_.end(), absent_tracks.begin(), absent_tracks.end());
}

at::Tensor TrackScores::mean_probabilities(const TrackSums& sums) const {
  const at::Tensor mean = sums.classes / sums.frames.unsqueeze(1);
  if (options_.average == "probabilities") return mean;
  ClassLogits classes = coding_;
  classes.logits = mean;
  return category_probabilities(classes, num_categories_);
}

void TrackScores::end(const TrackSums& sums, const std::vector<int64_t>& tracks) {
  const SelectedTracks selected =
      options_.select == "slot" ? select_slots(sums)
      : options_.select == "threshold"
          ? select_above(mean_probabilities(sums), options_.score_threshold)
          : select_top_k(mean_probabilities(sums), options_.top_k);
  for (int64_t i = 0; i < selected.rows.size(0); ++i)
    ended_.push_back({tracks[selected.rows[i].item<int64_t>()],
                      selected.category[i].item<int64_t>(), selected.score[i].item<double>()});
  if (options_.select != "top_k") return;
  std::stable_sort(ended_.begin(), ended_.end(),
                   [](const ScoredTrack& a, const ScoredTrack& b) { return a.score > b.score; });
  if (ended_.size() > static_cast<size_t>(options_.top_k)) ended_.resize(options_.top_k);
}

std::vector<ScoredTrack> TrackScores::finish() {
  if (!live_tracks_.empty()) end(live_, live_tracks_);
  live_tracks_.clear();
  live_ = {};
  std::stable_sort(ended_.begin(), ended_.end(),
                   [](const ScoredTrack& a, const ScoredTrack& b) { return a.score > b.score; });
  return std::move(ended_);
}

}  // namespace tessera
