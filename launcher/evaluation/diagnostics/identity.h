#pragma once

#include "launcher/evaluation/diagnostics/frame_matching.h"
#include "launcher/evaluation/diagnostics/measure.h"

namespace tessera::evaluation {

struct SwitchCounts {
  double num_matched_frames = 0;  // of ground truth tracks
  double num_switches = 0;        // matched to another prediction than when last matched
  double num_gaps = 0;            // runs of frames without the object between frames with it
  double num_bridged_gaps = 0;    // of those: the same prediction on both sides

  SwitchCounts& operator+=(const SwitchCounts& other);
};

/// in: as match_frames gives it. A gap is bridged if the last match in the run of frames before it
/// and the first in the run after it are the same prediction; a run without a match bridges
/// nothing.
SwitchCounts switch_counts(const std::vector<std::vector<FrameMatch>>& matches);

/// Identity switches for each 100 matched frames, and the share of gaps across which an object
/// keeps its identity.
class IdentityKeeping : public Measure {
 public:
  explicit IdentityKeeping(const DiagnosticSizes& sizes);
  void add(size_t slot, const VideoEvidence& video) override;
  std::vector<std::vector<DiagnosticGroup>> groups() override;

 private:
  Records<SwitchCounts> records_;
};

}  // namespace tessera::evaluation
