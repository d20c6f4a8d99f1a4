#include "launcher/evaluation/diagnostics/idf1.h"

#include "core/matching/minimum_cost.h"

namespace tessera::evaluation {
IdentityCounts& IdentityCounts::operator+=(const IdentityCounts& other) {
  num_true += other.num_true;
  num_missed += other.num_missed;
  num_false += other.num_false;
  return *this;
}

IdentityCounts identity_counts(const TrackingSequence& sequence) {
  IdentityCounts counts;
  std::vector<double> cost(sequence.num_truths * sequence.num_predictions);
  for (const TrackingFrame& frame : sequence.frames) {
    counts.num_missed += static_cast<double>(frame.truths.size());
    counts.num_false += static_cast<double>(frame.predictions.size());
    for (size_t i = 0; i < frame.truths.size(); ++i) {
      for (size_t j = 0; j < frame.predictions.size(); ++j) {
        if (frame.iou(i, j) < kTrackingIou) continue;
        --cost[frame.truths[i] * sequence.num_predictions + frame.predictions[j]];
      }
    }
  }
  // Each frame that an assigned pair shares is one miss and one false frame less, so the most
  // shared frames are the fewest errors.
  const auto pairs = assign_minimum_cost(cost.data(), static_cast<int64_t>(sequence.num_truths),
                                         static_cast<int64_t>(sequence.num_predictions));
  for (const auto& [g, p] : pairs) {
    counts.num_true -=
        cost[static_cast<size_t>(g) * sequence.num_predictions + static_cast<size_t>(p)];
  }
  counts.num_missed -= counts.num_true;
  counts.num_false -= counts.num_true;
  return counts;
}

double idf1(const IdentityCounts& counts) {
  if (counts.num_true + counts.num_missed == 0) return kUndefined;
  return 2 * counts.num_true / (2 * counts.num_true + counts.num_missed + counts.num_false);
}

Idf1::Idf1(const DiagnosticSizes& sizes) : records_(sizes.num_videos, sizes.num_categories) {}

void Idf1::add(size_t slot, const VideoEvidence& video) {
  for (const auto& [category, sequence] : video.sequences) {
    records_.at(slot, category) += identity_counts(sequence);
  }
}

std::vector<std::vector<DiagnosticGroup>> Idf1::groups() {
  std::vector<std::vector<DiagnosticGroup>> groups;
  for (const IdentityCounts& counts : records_.take_sums()) {
    groups.push_back({{"tracking", {{{"IDF1", idf1(counts)}}}}});
  }
  return groups;
}

}  // namespace tessera::evaluation
