#pragma once

#include "launcher/evaluation/diagnostics/frame_matching.h"
#include "launcher/evaluation/diagnostics/measure.h"

namespace tessera::evaluation {

struct JitterSum {
  double change = 0;     // sum of |IoU of a frame - IoU of the frame before|
  double num_pairs = 0;  // of neighbouring frames

  JitterSum& operator+=(const JitterSum& other);
};

/// Over pairs of neighbouring frames in which a ground truth track is matched to one prediction.
JitterSum jitter_sum(const std::vector<std::vector<FrameMatch>>& matches);

/// Mean change of a track's IoU from one frame to the next. Of no use alone: masks that never move
/// score well.
class Jitter : public Measure {
 public:
  explicit Jitter(const DiagnosticSizes& sizes);
  void add(size_t slot, const VideoEvidence& video) override;
  std::vector<std::vector<DiagnosticGroup>> groups() override;

 private:
  Records<JitterSum> records_;
};

}  // namespace tessera::evaluation
