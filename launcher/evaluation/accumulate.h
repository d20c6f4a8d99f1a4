#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "launcher/evaluation/matching.h"

namespace tessera::evaluation {

/// What a precision-recall curve comes down to, by threshold of the intersection over union.
struct Curve {
  bool is_defined = false;                              // false: no ground truth counts
  std::array<double, kNumThresholds> mean_precision{};  // over the 101 recall points
  std::array<double, kNumThresholds> recall{};
};

/// The fate of a prediction at each threshold.
struct RankedEntry {
  double score = 0;
  ThresholdBits matched = 0;
  ThresholdBits ignored = 0;
};

/// in: predictions of one category, equal scores in the order in which they count.
Curve accumulate(std::vector<RankedEntry> entries, int64_t num_ground_truth);

/// in: cells of one category by ascending video id; `range` into CellMatches::ranges; each video
/// gives its first `max_detections` predictions.
Curve accumulate(const std::vector<const CellMatches*>& cells, size_t range, size_t max_detections);

}  // namespace tessera::evaluation
