#include "launcher/evaluation/diagnostics/jitter.h"

#include <cmath>

namespace tessera::evaluation {

JitterSum& JitterSum::operator+=(const JitterSum& other) {
  change += other.change;
  num_pairs += other.num_pairs;
  return *this;
}

JitterSum jitter_sum(const std::vector<std::vector<FrameMatch>>& matches) {
  JitterSum sum;
  for (const std::vector<FrameMatch>& track : matches) {
    for (size_t t = 1; t < track.size(); ++t) {
      if (!track[t].is_matched() || track[t].prediction != track[t - 1].prediction) continue;
      sum.change += std::abs(track[t].iou - track[t - 1].iou);
      ++sum.num_pairs;
    }
  }
  return sum;
}

Jitter::Jitter(const DiagnosticSizes& sizes) : records_(sizes.num_videos, sizes.num_categories) {}

void Jitter::add(size_t slot, const VideoEvidence& video) {
  for (const auto& [category, sequence] : video.sequences) {
    records_.at(slot, category) += jitter_sum(match_frames(sequence));
  }
}

std::vector<std::vector<DiagnosticGroup>> Jitter::groups() {
  std::vector<std::vector<DiagnosticGroup>> groups;
  for (const JitterSum& sum : records_.take_sums()) {
    const double mean = sum.num_pairs == 0 ? kUndefined : sum.change / sum.num_pairs;
    groups.push_back({{"identity", {{{"jitter", mean}}}}});
  }
  return groups;
}

}  // namespace tessera::evaluation
