#pragma once

#include <array>
#include <vector>

#include "launcher/evaluation/matching.h"

namespace tessera::evaluation {

/// What a precision-recall curve comes down to, by threshold of the intersection over union.
struct Curve {
  bool is_defined = false;                              // false: no ground truth counts
  std::array<double, kNumThresholds> mean_precision{};  // over the 101 recall points
  std::array<double, kNumThresholds> recall{};
};

/// in: cells of one category by ascending video id; `range` into CellMatches::ranges; each video
/// gives its first `max_detections` predictions.
Curve accumulate(const std::vector<const CellMatches*>& cells, size_t range, size_t max_detections);

}  // namespace tessera::evaluation
