#pragma once

#include <array>

#include "launcher/evaluation/diagnostics/scene.h"

namespace tessera::evaluation {

/// Average precision of pieces of the videos: every window of w frames (the last of a video may
/// have fewer) counts as a video of its own. At w = 1 nothing but frames is judged; what AP loses
/// as w grows is lost by association. Tracks without a pixel in a window are not there, predictions
/// keep the score of the whole video.
class WindowedAp : public Measure {
 public:
  /// Frames of a window; 0: the whole video.
  static constexpr std::array<size_t, 5> kWindows = {1, 4, 12, 24, 0};

  explicit WindowedAp(const DiagnosticSizes& sizes);
  void add(size_t slot, const VideoEvidence& video) override;
  std::vector<std::vector<DiagnosticGroup>> groups() override;

 private:
  size_t num_categories_;
  std::vector<Records<PrecisionRecord>> records_;  // by window
};

}  // namespace tessera::evaluation
