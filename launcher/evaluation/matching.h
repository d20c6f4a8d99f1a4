#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "launcher/data/rle.h"
#include "launcher/evaluation/score.h"

namespace tessera::evaluation {

inline constexpr size_t kMaxDetections = 100;  // predictions of a class that count in a video

/// A track ready for scoring: masks and their areas, so that a union is never computed.
struct Track {
  const std::vector<std::optional<data::Rle>>* segmentations = nullptr;
  std::vector<uint64_t> areas;  // pixels, one for each frame, 0 where absent
  double mean_area = 0;         // over frames with a mask that is not empty
};

struct Prediction : Track {
  double score = 0;
};

struct GroundTruth : Track {
  bool is_crowd = false;
  /// The reference stores the id of a match and 0 for none, so that id 0 reads as unmatched.
  bool match_is_lost = false;
  double occlusion = 0;  // 0 = never hidden, 1 = hidden
};

/// Which ground truth counts. Bounds are inclusive.
struct Range {
  double min_area = 0;
  double max_area = 1e10;  // square pixels
  double min_occlusion = 0;
  double max_occlusion = 1;
};

/// One bit for each threshold of the intersection over union.
using ThresholdBits = uint16_t;

/// The fate of the predictions of one video and category in one range.
struct RangeMatches {
  std::vector<ThresholdBits> matched;  // by prediction, falling score
  std::vector<ThresholdBits> ignored;
  int64_t num_ground_truth = 0;  // that counts
};

/// A video and category in which there is ground truth or a prediction.
struct CellMatches {
  std::vector<double> scores;  // falling, at most kMaxDetections
  std::vector<RangeMatches> ranges;
};

/// in: predictions and ground truth of one video and category in file order.
CellMatches match_cell(const std::vector<const Prediction*>& predictions,
                       const std::vector<const GroundTruth*>& ground_truth,
                       const std::vector<Range>& ranges);

}  // namespace tessera::evaluation
