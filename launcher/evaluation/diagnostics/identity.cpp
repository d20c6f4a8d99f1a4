#include "launcher/evaluation/diagnostics/identity.h"

namespace tessera::evaluation {
namespace {

void add_track(const std::vector<FrameMatch>& track, SwitchCounts& counts) {
  constexpr size_t kNone = FrameMatch::kNoPrediction;
  size_t last = kNone;         // prediction of the last match anywhere
  size_t before_gap = kNone;   // of the last match in the run of frames before the gap
  size_t last_in_run = kNone;  // of the last match in this run
  bool has_run = false;        // the object has been there
  bool is_after_gap = false;   // the gap before this run waits for the run's first match
  bool was_present = false;
  for (const FrameMatch& match : track) {
    if (match.is_present && !was_present) {  // a run begins
      before_gap = last_in_run;
      last_in_run = kNone;
      is_after_gap = has_run;
      if (has_run) ++counts.num_gaps;
      has_run = true;
    }
    was_present = match.is_present;
    if (!match.is_matched()) continue;
    ++counts.num_matched_frames;
    if (last != kNone && match.prediction != last) ++counts.num_switches;
    if (is_after_gap && match.prediction == before_gap) ++counts.num_bridged_gaps;
    is_after_gap = false;
    last = match.prediction;
    last_in_run = match.prediction;
  }
}

}  // namespace

SwitchCounts& SwitchCounts::operator+=(const SwitchCounts& other) {
  num_matched_frames += other.num_matched_frames;
  num_switches += other.num_switches;
  num_gaps += other.num_gaps;
  num_bridged_gaps += other.num_bridged_gaps;
  return *this;
}

SwitchCounts switch_counts(const std::vector<std::vector<FrameMatch>>& matches) {
  SwitchCounts counts;
  for (const std::vector<FrameMatch>& track : matches) add_track(track, counts);
  return counts;
}

IdentityKeeping::IdentityKeeping(const DiagnosticSizes& sizes)
    : records_(sizes.num_videos, sizes.num_categories) {}

void IdentityKeeping::add(size_t slot, const VideoEvidence& video) {
  for (const auto& [category, sequence] : video.sequences) {
    records_.at(slot, category) += switch_counts(match_frames(sequence));
  }
}

std::vector<std::vector<DiagnosticGroup>> IdentityKeeping::groups() {
  std::vector<std::vector<DiagnosticGroup>> groups;
  for (const SwitchCounts& counts : records_.take_sums()) {
    const double rate = counts.num_matched_frames == 0
                            ? kUndefined
                            : 100 * counts.num_switches / counts.num_matched_frames;
    const double recall =
        counts.num_gaps == 0 ? kUndefined : counts.num_bridged_gaps / counts.num_gaps;
    groups.push_back({{"identity",
                       {{{"switches_per_100_frames", rate}, StatKind::kNumber},
                        {{"gap_recall", recall}},
                        {{"switches", counts.num_switches}, StatKind::kCount},
                        {{"matched_frames", counts.num_matched_frames}, StatKind::kCount},
                        {{"gaps", counts.num_gaps}, StatKind::kCount}}}});
  }
  return groups;
}

}  // namespace tessera::evaluation
