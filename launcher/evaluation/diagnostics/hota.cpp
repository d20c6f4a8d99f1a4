#include "launcher/evaluation/diagnostics/hota.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/matching/minimum_cost.h"

namespace tessera::evaluation {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

double threshold_at(size_t i) {
  return 0.05 + static_cast<double>(i) * 0.05;
}

/// A number for each pair of a ground truth track and a prediction of a sequence.
class PairTable {
 public:
  explicit PairTable(const TrackingSequence& sequence)
      : num_predictions_(sequence.num_predictions),
        values_(sequence.num_truths * sequence.num_predictions) {}

  double& at(size_t truth, size_t prediction) {
    return values_[truth * num_predictions_ + prediction];
  }
  double at(size_t truth, size_t prediction) const {
    return values_[truth * num_predictions_ + prediction];
  }

 private:
  size_t num_predictions_;
  std::vector<double> values_;
};

/// Adds the share of the overlap in a frame that each pair has (equation 7's soft count).
void add_potential_matches(const TrackingFrame& frame, PairTable& potential) {
  std::vector<double> row_sums(frame.truths.size());
  std::vector<double> column_sums(frame.predictions.size());
  for (size_t i = 0; i < frame.truths.size(); ++i) {
    for (size_t j = 0; j < frame.predictions.size(); ++j) {
      row_sums[i] += frame.iou(i, j);
      column_sums[j] += frame.iou(i, j);
    }
  }
  for (size_t i = 0; i < frame.truths.size(); ++i) {
    for (size_t j = 0; j < frame.predictions.size(); ++j) {
      const double either = row_sums[i] + column_sums[j] - frame.iou(i, j);
      if (either > kEpsilon) {
        potential.at(frame.truths[i], frame.predictions[j]) += frame.iou(i, j) / either;
      }
    }
  }
}

}  // namespace

HotaCounts& HotaCounts::operator+=(const HotaCounts& other) {
  for (size_t i = 0; i < kNumHotaThresholds; ++i) {
    num_true[i] += other.num_true[i];
    num_missed[i] += other.num_missed[i];
    num_false[i] += other.num_false[i];
    association[i] += other.association[i];
  }
  return *this;
}

HotaCounts hota_counts(const TrackingSequence& sequence) {
  std::vector<double> truth_frames(sequence.num_truths);
  std::vector<double> prediction_frames(sequence.num_predictions);
  PairTable potential(sequence);
  for (const TrackingFrame& frame : sequence.frames) {
    for (const size_t g : frame.truths) ++truth_frames[g];
    for (const size_t p : frame.predictions) ++prediction_frames[p];
    add_potential_matches(frame, potential);
  }

  HotaCounts counts;
  std::vector<PairTable> matches(kNumHotaThresholds, PairTable(sequence));
  for (const TrackingFrame& frame : sequence.frames) {
    // Pairs that go together in the whole sequence are preferred (section 5.3).
    std::vector<double> cost;
    for (size_t i = 0; i < frame.truths.size(); ++i) {
      for (size_t j = 0; j < frame.predictions.size(); ++j) {
        const size_t g = frame.truths[i];
        const size_t p = frame.predictions[j];
        const double both = potential.at(g, p);
        const double alignment = both / (truth_frames[g] + prediction_frames[p] - both);
        cost.push_back(-alignment * frame.iou(i, j));
      }
    }
    const auto pairs = assign_minimum_cost(cost.data(), static_cast<int64_t>(frame.truths.size()),
                                           static_cast<int64_t>(frame.predictions.size()));
    for (size_t a = 0; a < kNumHotaThresholds; ++a) {
      double num_true = 0;
      for (const auto& [i, j] : pairs) {
        const auto row = static_cast<size_t>(i);
        const auto column = static_cast<size_t>(j);
        if (frame.iou(row, column) < threshold_at(a) - kEpsilon) continue;
        ++num_true;
        ++matches[a].at(frame.truths[row], frame.predictions[column]);
      }
      counts.num_true[a] += num_true;
      counts.num_missed[a] += static_cast<double>(frame.truths.size()) - num_true;
      counts.num_false[a] += static_cast<double>(frame.predictions.size()) - num_true;
    }
  }
  for (size_t a = 0; a < kNumHotaThresholds; ++a) {
    for (size_t g = 0; g < sequence.num_truths; ++g) {
      for (size_t p = 0; p < sequence.num_predictions; ++p) {
        const double count = matches[a].at(g, p);
        if (count > 0) {
          counts.association[a] += count * count / (truth_frames[g] + prediction_frames[p] - count);
        }
      }
    }
  }
  return counts;
}

HotaScores hota_scores(const HotaCounts& counts) {
  if (counts.num_true[0] + counts.num_missed[0] == 0) return {};
  HotaScores mean{0, 0, 0};
  for (size_t a = 0; a < kNumHotaThresholds; ++a) {
    const double num_true = counts.num_true[a];
    const double detection = num_true / (num_true + counts.num_missed[a] + counts.num_false[a]);
    const double association = num_true == 0 ? 0 : counts.association[a] / num_true;
    mean.hota += std::sqrt(detection * association) / kNumHotaThresholds;
    mean.detection += detection / kNumHotaThresholds;
    mean.association += association / kNumHotaThresholds;
  }
  return mean;
}

Hota::Hota(const DiagnosticSizes& sizes) : records_(sizes.num_videos, sizes.num_categories) {}

void Hota::add(size_t slot, const VideoEvidence& video) {
  for (const auto& [category, sequence] : video.sequences) {
    records_.at(slot, category) += hota_counts(sequence);
  }
}

std::vector<std::vector<DiagnosticGroup>> Hota::groups() {
  std::vector<std::vector<DiagnosticGroup>> groups;
  for (const HotaCounts& counts : records_.take_sums()) {
    const HotaScores scores = hota_scores(counts);
    groups.push_back({{"tracking",
                       {{{"HOTA", scores.hota}},
                        {{"DetA", scores.detection}},
                        {{"AssA", scores.association}}}}});
  }
  return groups;
}

}  // namespace tessera::evaluation
