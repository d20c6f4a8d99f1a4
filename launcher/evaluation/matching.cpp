#include "launcher/evaluation/matching.h"

#include <algorithm>
#include <numeric>

namespace tessera::evaluation {
namespace {

// Written out to the last bit: the reference computes them in a way that is not the nearest double
// to 0.55, 0.80 and so on, and whole-number ratios do hit them.
constexpr std::array<double, kNumThresholds> kThresholds = {
    0x1.0000000000000p-1, 0x1.199999999999ap-1, 0x1.3333333333333p-1, 0x1.4cccccccccccdp-1,
    0x1.6666666666666p-1, 0x1.8000000000000p-1, 0x1.999999999999ap-1, 0x1.b333333333333p-1,
    0x1.cccccccccccccp-1, 0x1.e666666666666p-1};

constexpr double kLargestThreshold = 1 - 1e-10;

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

bool is_in(const Range& range, const Track& track) {
  return track.mean_area >= range.min_area && track.mean_area <= range.max_area &&
         track.num_frames >= range.min_frames && track.num_frames <= range.max_frames;
}

bool counts_in(const Range& range, const GroundTruth& truth) {
  return !truth.is_crowd && is_in(range, truth) && truth.occlusion >= range.min_occlusion &&
         truth.occlusion <= range.max_occlusion;
}

RangeMatches match_in_range(const std::vector<const Prediction*>& predictions,
                            const std::vector<const GroundTruth*>& ground_truth, const Ious& ious,
                            const Range& range) {
  std::vector<bool> is_ignored;
  for (const GroundTruth* truth : ground_truth) is_ignored.push_back(!counts_in(range, *truth));
  RangeMatches result;
  result.matched.resize(predictions.size());
  result.ignored.resize(predictions.size());
  result.num_ground_truth = std::count(is_ignored.begin(), is_ignored.end(), false);
  for (size_t threshold = 0; threshold < kNumThresholds; ++threshold) {
    const auto bit = static_cast<ThresholdBits>(1u << threshold);
    const auto matches = match_greedily(ious, ground_truth, is_ignored, kThresholds[threshold]);
    for (size_t d = 0; d < predictions.size(); ++d) {
      bool is_matched = matches[d] != kNoMatch;
      bool ignore = is_matched && is_ignored[matches[d]];
      if (is_matched && ground_truth[matches[d]]->match_is_lost) is_matched = false;
      if (!is_matched && !is_in(range, *predictions[d])) ignore = true;
      if (is_matched) result.matched[d] |= bit;
      if (ignore) result.ignored[d] |= bit;
    }
  }
  return result;
}

}  // namespace

double track_iou(const std::vector<std::optional<data::Rle>>& a,
                 const std::vector<std::optional<data::Rle>>& b) {
  return track_iou(make_track(a), make_track(b));
}

const std::array<double, kNumThresholds>& iou_thresholds() {
  return kThresholds;
}

std::vector<size_t> match_greedily(const Ious& ious,
                                   const std::vector<const GroundTruth*>& ground_truth,
                                   const std::vector<bool>& is_ignored, double threshold) {
  std::vector<size_t> order(ground_truth.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_partition(order.begin(), order.end(), [&](size_t g) { return !is_ignored[g]; });
  std::vector<bool> is_taken(ground_truth.size(), false);
  std::vector<size_t> matches(ious.size(), kNoMatch);
  for (size_t d = 0; d < ious.size(); ++d) {
    double best = std::min(threshold, kLargestThreshold);
    size_t& match = matches[d];
    for (const size_t g : order) {
      if (is_taken[g] && !ground_truth[g]->is_crowd) continue;
      // From here on all are ignored, and a match that counts is better than any of them.
      if (match != kNoMatch && !is_ignored[match] && is_ignored[g]) break;
      if (ious[d][g] < best) continue;  // on equal values the later one wins
      best = ious[d][g];
      match = g;
    }
    if (match != kNoMatch) is_taken[match] = true;
  }
  return matches;
}

CellMatches match_ranked(const std::vector<const Prediction*>& ranked,
                         const std::vector<const GroundTruth*>& ground_truth, const Ious& ious,
                         const std::vector<Range>& ranges) {
  CellMatches cell;
  for (const Prediction* prediction : ranked) cell.scores.push_back(prediction->score);
  for (const Range& range : ranges) {
    cell.ranges.push_back(match_in_range(ranked, ground_truth, ious, range));
  }
  return cell;
}

CellMatches match_cell(const std::vector<const Prediction*>& predictions,
                       const std::vector<const GroundTruth*>& ground_truth,
                       const std::vector<Range>& ranges) {
  std::vector<const Prediction*> ranked = predictions;
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Prediction* a, const Prediction* b) { return a->score > b->score; });
  if (ranked.size() > kMaxDetections) ranked.resize(kMaxDetections);

  Ious ious(ranked.size());
  for (size_t d = 0; d < ranked.size(); ++d) {
    for (const GroundTruth* truth : ground_truth) ious[d].push_back(track_iou(*ranked[d], *truth));
  }
  return match_ranked(ranked, ground_truth, ious, ranges);
}

}  // namespace tessera::evaluation
