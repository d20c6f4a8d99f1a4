#include "launcher/inference/track_scores.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/error.h"

namespace tessera {
namespace {

TrackSums rows_of(const TrackSums& sums, const at::Tensor& rows) {
  TrackSums some{sums.frames.index_select(0, rows),
                 sums.votes.index_select(0, rows),
                 sums.best.index_select(0, rows),
                 {}};
  for (const at::Tensor& classes : sums.classes)
    some.classes.push_back(classes.index_select(0, rows));
  return some;
}

TrackSums joined(const TrackSums& a, const TrackSums& b) {
  TrackSums both{
      at::cat({a.frames, b.frames}), at::cat({a.votes, b.votes}), at::cat({a.best, b.best}), {}};
  for (size_t i = 0; i < a.classes.size(); ++i)
    both.classes.push_back(at::cat({a.classes[i], b.classes[i]}));
  return both;
}

void sort_by_score(std::vector<ScoredTrack>& tracks) {
  std::stable_sort(tracks.begin(), tracks.end(),
                   [](const ScoredTrack& a, const ScoredTrack& b) { return a.score > b.score; });
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

TrackScores::TrackScores(const InferenceOptions& options, int64_t num_categories)
    : options_(options), num_categories_(num_categories) {
  for (const StageScore& score : options.scores) averages_.push_back(score.average);
  if (averages_.empty()) averages_ = {options.average};
}

void TrackScores::add(const ClassLogits& classes, const TrackUpdate& update) {
  add(std::vector<ClassLogits>{classes}, update);
}

TrackSums TrackScores::sums_of(const std::vector<ClassLogits>& classes) const {
  TrackSums sums;
  for (size_t i = 0; i < classes.size(); ++i) {
    const at::Tensor probabilities =
        category_probabilities(classes[i], num_categories_).select(0, 0);  // [T,Q,K]
    const at::Tensor& counted =
        averages_.at(i) == "logits" ? classes[i].logits.select(0, 0) : probabilities;
    TrackSums stage = sum_frames(probabilities, counted);
    if (averages_[i] == "maximum") stage.classes = {counted.to(at::kDouble).amax(0).to(at::kCPU)};
    if (i == 0)
      sums = std::move(stage);
    else
      sums.classes.push_back(stage.classes.front());
  }
  return sums;
}

void TrackScores::add_rows(TrackSums& sums, const at::Tensor& rows, const TrackSums& more) const {
  sums.frames.index_add_(0, rows, more.frames);
  sums.votes.index_add_(0, rows, more.votes);
  sums.best.index_add_(0, rows, more.best);
  for (size_t i = 0; i < sums.classes.size(); ++i) {
    at::Tensor& classes = sums.classes[i];
    if (averages_[i] == "maximum")
      classes.index_copy_(0, rows, at::maximum(classes.index_select(0, rows), more.classes[i]));
    else
      classes.index_add_(0, rows, more.classes[i]);
  }
}

void TrackScores::add(const std::vector<ClassLogits>& classes, const TrackUpdate& update) {
  codings_ = classes;
  for (ClassLogits& coding : codings_) coding.logits = at::Tensor();
  TrackSums now = sums_of(classes);
  std::vector<int64_t> rows, tracks;  // that have a track
  for (size_t row = 0; row < update.track_of_row.size(); ++row) {
    if (update.track_of_row[row] < 0) continue;
    rows.push_back(static_cast<int64_t>(row));
    tracks.push_back(update.track_of_row[row]);
  }
  if (rows.size() < update.track_of_row.size()) now = rows_of(now, at::tensor(rows, at::kLong));
  std::unordered_map<int64_t, int64_t> row_of_track;
  for (size_t row = 0; row < tracks.size(); ++row)
    row_of_track[tracks[row]] = static_cast<int64_t>(row);
  const std::unordered_set<int64_t> ended(update.ended.begin(), update.ended.end());
  const std::unordered_set<int64_t> discarded(update.discarded.begin(), update.discarded.end());
  std::vector<int64_t> from, to, absent, absent_tracks, gone, gone_tracks;
  for (size_t row = 0; row < live_tracks_.size(); ++row) {
    const int64_t track = live_tracks_[row];
    if (discarded.contains(track)) continue;
    if (const auto found = row_of_track.find(track); found != row_of_track.end()) {
      from.push_back(static_cast<int64_t>(row));
      to.push_back(found->second);
    } else if (!ended.contains(track)) {
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
  live_tracks_ = std::move(tracks);
  live_tracks_.insert(live_tracks_.end(), absent_tracks.begin(), absent_tracks.end());
}

/// The probability of each category in the video: of each stage that counts, then of all.
at::Tensor TrackScores::video_probabilities(const TrackSums& sums) const {
  at::Tensor all;
  for (size_t i = 0; i < sums.classes.size(); ++i) {
    at::Tensor probabilities = sums.classes[i];
    if (averages_[i] != "maximum") probabilities = probabilities / sums.frames.unsqueeze(1);
    if (averages_[i] == "logits") {
      ClassLogits classes = codings_.at(i);
      classes.logits = probabilities;
      probabilities = category_probabilities(classes, num_categories_);
    }
    all = all.defined() ? at::maximum(all, probabilities) : probabilities;
  }
  return all;
}

void TrackScores::end(const TrackSums& sums, const std::vector<int64_t>& tracks) {
  const SelectedTracks selected =
      options_.select == "slot" ? select_slots(sums)
      : options_.select == "threshold"
          ? select_above(video_probabilities(sums), options_.score_threshold)
          : select_top_k(video_probabilities(sums), options_.top_k);
  for (int64_t i = 0; i < selected.rows.size(0); ++i)
    ended_.push_back({tracks[static_cast<size_t>(selected.rows[i].item<int64_t>())],
                      selected.category[i].item<int64_t>(), selected.score[i].item<double>()});
  if (options_.select != "top_k") return;
  sort_by_score(ended_);
  if (ended_.size() > static_cast<size_t>(options_.top_k))
    ended_.resize(static_cast<size_t>(options_.top_k));
}

std::vector<ScoredTrack> TrackScores::finish() {
  if (!live_tracks_.empty()) end(live_, live_tracks_);
  live_tracks_.clear();
  live_ = {};
  sort_by_score(ended_);
  return std::move(ended_);
}

}  // namespace tessera
