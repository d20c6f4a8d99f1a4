#include "launcher/evaluation/matching.h"

#include <algorithm>

namespace tessera::evaluation {
namespace {

// Written out to the last bit: the reference computes them in a way that is not the nearest double
// to 0.55, 0.80 and so on, and whole-number ratios do hit them.
constexpr std::array<double, kNumThresholds> kThresholds = {
    0x1.0000000000000p-1, 0x1.199999999999ap-1, 0x1.3333333333333p-1, 0x1.4cccccccccccdp-1,
    0x1.6666666666666p-1, 0x1.8000000000000p-1, 0x1.999999999999ap-1, 0x1.b333333333333p-1,
    0x1.cccccccccccccp-1, 0x1.e666666666666p-1};

constexpr double kLargestThreshold = 1 - 1e-10;
constexpr size_t kNone = static_cast<size_t>(-1);

bool has_mask(const Track& track, size_t frame) {
  return (*track.segmentations)[frame].has_value();
}

double track_iou(const Track& a, const Track& b) {
  uint64_t intersection_sum = 0;
  uint64_t union_sum = 0;
  const size_t num_frames = std::min(a.segmentations->size(), b.segmentations->size());
  for (size_t t = 0; t < num_frames; ++t) {
    uint64_t both = 0;
    if (has_mask(a, t) && has_mask(b, t)) {
      const data::Rle& a_mask = *(*a.segmentations)[t];
      const data::Rle& b_mask = *(*b.segmentations)[t];
      if (a_mask.height != b_mask.height || a_mask.width != b_mask.width) continue;
      if (a.areas[t] > 0 && b.areas[t] > 0) both = data::intersection_area(a_mask, b_mask);
    }
    intersection_sum += both;
    union_sum += a.areas[t] + b.areas[t] - both;
  }
  if (union_sum == 0) return 0;
  return static_cast<double>(intersection_sum) / static_cast<double>(union_sum);
}

Track make_track(const std::vector<std::optional<data::Rle>>& segmentations) {
  Track track;
  track.segmentations = &segmentations;
  for (const auto& rle : segmentations) track.areas.push_back(rle ? data::area(*rle) : 0);
  return track;
}

/// Greedy matching of one cell in one range: each prediction, surest first, takes the best ground
/// truth that is left.
class RangeMatcher {
 public:
  RangeMatcher(const std::vector<const Prediction*>& predictions,
               const std::vector<const GroundTruth*>& ground_truth,
               const std::vector<std::vector<double>>& ious, const Range& range)
      : predictions_(predictions), ground_truth_(ground_truth), ious_(ious), range_(range) {
    for (size_t g = 0; g < ground_truth.size(); ++g) {
      is_ignored_.push_back(ground_truth[g]->is_crowd || !in_area(*ground_truth[g]) ||
                            ground_truth[g]->occlusion < range.min_occlusion ||
                            ground_truth[g]->occlusion > range.max_occlusion);
      order_.push_back(g);
    }
    std::stable_partition(order_.begin(), order_.end(), [&](size_t g) { return !is_ignored_[g]; });
  }

  RangeMatches run() {
    RangeMatches result;
    result.matched.resize(predictions_.size());
    result.ignored.resize(predictions_.size());
    result.num_ground_truth = std::count(is_ignored_.begin(), is_ignored_.end(), false);
    for (size_t threshold = 0; threshold < kNumThresholds; ++threshold) {
      match_at(threshold, result);
    }
    return result;
  }

 private:
  bool in_area(const Track& track) const {
    return track.mean_area >= range_.min_area && track.mean_area <= range_.max_area;
  }

  void match_at(size_t threshold, RangeMatches& result) const {
    const auto bit = static_cast<ThresholdBits>(1u << threshold);
    std::vector<bool> is_taken(ground_truth_.size(), false);
    for (size_t d = 0; d < predictions_.size(); ++d) {
      const size_t match = best_match(d, kThresholds[threshold], is_taken);
      bool is_matched = match != kNone;
      bool is_ignored = is_matched && is_ignored_[match];
      if (is_matched) is_taken[match] = true;
      if (is_matched && ground_truth_[match]->match_is_lost) is_matched = false;
      if (!is_matched && !in_area(*predictions_[d])) is_ignored = true;
      if (is_matched) result.matched[d] |= bit;
      if (is_ignored) result.ignored[d] |= bit;
    }
  }

  size_t best_match(size_t prediction, double threshold, const std::vector<bool>& is_taken) const {
    double best = std::min(threshold, kLargestThreshold);
    size_t match = kNone;
    for (const size_t g : order_) {
      if (is_taken[g] && !ground_truth_[g]->is_crowd) continue;
      // From here on all are ignored, and a match that counts is better than any of them.
      if (match != kNone && !is_ignored_[match] && is_ignored_[g]) break;
      const double iou = ious_[prediction][g];
      if (iou < best) continue;  // on equal values the later one wins
      best = iou;
      match = g;
    }
    return match;
  }

  const std::vector<const Prediction*>& predictions_;
  const std::vector<const GroundTruth*>& ground_truth_;
  const std::vector<std::vector<double>>& ious_;
  Range range_;
  std::vector<bool> is_ignored_;
  std::vector<size_t> order_;
};

}  // namespace

double track_iou(const std::vector<std::optional<data::Rle>>& a,
                 const std::vector<std::optional<data::Rle>>& b) {
  return track_iou(make_track(a), make_track(b));
}

CellMatches match_cell(const std::vector<const Prediction*>& predictions,
                       const std::vector<const GroundTruth*>& ground_truth,
                       const std::vector<Range>& ranges) {
  std::vector<const Prediction*> ranked = predictions;
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Prediction* a, const Prediction* b) { return a->score > b->score; });
  if (ranked.size() > kMaxDetections) ranked.resize(kMaxDetections);

  std::vector<std::vector<double>> ious(ranked.size());
  for (size_t d = 0; d < ranked.size(); ++d) {
    for (const GroundTruth* truth : ground_truth) ious[d].push_back(track_iou(*ranked[d], *truth));
  }
  CellMatches cell;
  for (const Prediction* prediction : ranked) cell.scores.push_back(prediction->score);
  for (const Range& range : ranges) {
    cell.ranges.push_back(RangeMatcher(ranked, ground_truth, ious, range).run());
  }
  return cell;
}

}  // namespace tessera::evaluation
