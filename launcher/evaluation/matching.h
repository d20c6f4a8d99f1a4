#pragma once

#include <array>
#include <cstdint>
#include <limits>
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
  int64_t num_frames = 0;       // with a mask that is not empty
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
  int64_t min_frames = 0;  // in which the track is there
  int64_t max_frames = std::numeric_limits<int64_t>::max();
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

/// [predictions, ground truth]
using Ious = std::vector<std::vector<double>>;

inline constexpr size_t kNoMatch = static_cast<size_t>(-1);

/// The intersection over union of two tracks that the thresholds stand for, ascending.
const std::array<double, kNumThresholds>& iou_thresholds();

/// in: predictions and ground truth of one video and category in file order.
CellMatches match_cell(const std::vector<const Prediction*>& predictions,
                       const std::vector<const GroundTruth*>& ground_truth,
                       const std::vector<Range>& ranges);

/// The same for at most kMaxDetections predictions by falling score whose overlaps are known; the
/// tracks need no masks.
CellMatches match_ranked(const std::vector<const Prediction*>& ranked,
                         const std::vector<const GroundTruth*>& ground_truth, const Ious& ious,
                         const std::vector<Range>& ranges);

/// The ground truth (index) that each prediction takes, surest first: the best that is left and
/// reaches `threshold`, one that is ignored only where no other does; kNoMatch for none. Crowds
/// take any number of predictions.
std::vector<size_t> match_greedily(const Ious& ious,
                                   const std::vector<const GroundTruth*>& ground_truth,
                                   const std::vector<bool>& is_ignored, double threshold);

}  // namespace tessera::evaluation
