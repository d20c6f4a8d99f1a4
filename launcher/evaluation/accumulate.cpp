#include "launcher/evaluation/accumulate.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace tessera::evaluation {
namespace {

constexpr size_t kNumRecallPoints = 101;

/// The products, not i / 100: they differ in the last bit at ten points, and recalls do hit them.
double recall_point(size_t i) {
  return i + 1 == kNumRecallPoints ? 1. : i * 0.01;
}

/// Mean over the recall points of the precision at the first entry that reaches each.
double mean_precision(const std::vector<double>& recall, std::vector<double> precision) {
  for (size_t i = precision.size(); i-- > 1;) {
    precision[i - 1] = std::max(precision[i - 1], precision[i]);
  }
  double sum = 0;
  for (size_t i = 0; i < kNumRecallPoints; ++i) {
    const auto first = std::lower_bound(recall.begin(), recall.end(), recall_point(i));
    if (first == recall.end()) break;
    sum += precision[first - recall.begin()];
  }
  return sum / kNumRecallPoints;
}

}  // namespace

Curve accumulate(std::vector<RankedEntry> entries, int64_t num_ground_truth) {
  Curve curve;
  if (num_ground_truth == 0) return curve;
  curve.is_defined = true;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const RankedEntry& a, const RankedEntry& b) { return a.score > b.score; });
  std::vector<double> recall(entries.size());
  std::vector<double> precision(entries.size());
  for (size_t threshold = 0; threshold < kNumThresholds; ++threshold) {
    const auto bit = static_cast<ThresholdBits>(1u << threshold);
    double num_true = 0;
    double num_false = 0;
    for (size_t i = 0; i < entries.size(); ++i) {
      if ((entries[i].ignored & bit) == 0) {
        ((entries[i].matched & bit) != 0 ? num_true : num_false) += 1;
      }
      recall[i] = num_true / static_cast<double>(num_ground_truth);
      precision[i] = num_true / (num_false + num_true + std::numeric_limits<double>::epsilon());
    }
    curve.mean_precision[threshold] = mean_precision(recall, precision);
    curve.recall[threshold] = entries.empty() ? 0 : recall.back();
  }
  return curve;
}

Curve accumulate(const std::vector<const CellMatches*>& cells, size_t range,
                 size_t max_detections) {
  int64_t num_ground_truth = 0;
  std::vector<RankedEntry> entries;
  for (const CellMatches* cell : cells) {
    const RangeMatches& matches = cell->ranges[range];
    num_ground_truth += matches.num_ground_truth;
    const size_t count = std::min(cell->scores.size(), max_detections);
    for (size_t d = 0; d < count; ++d) {
      entries.push_back({cell->scores[d], matches.matched[d], matches.ignored[d]});
    }
  }
  return accumulate(std::move(entries), num_ground_truth);
}

}  // namespace tessera::evaluation
