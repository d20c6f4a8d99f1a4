#pragma once

#include <array>

#include "launcher/evaluation/diagnostics/measure.h"

namespace tessera::evaluation {

inline constexpr size_t kNumHotaThresholds = 19;  // of the IoU in a frame, 0.05 to 0.95

/// What the HOTA of several sequences is summed up from, by threshold.
struct HotaCounts {
  std::array<double, kNumHotaThresholds> num_true{};     // matched pairs
  std::array<double, kNumHotaThresholds> num_missed{};   // ground truth without a prediction
  std::array<double, kNumHotaThresholds> num_false{};    // predictions without ground truth
  std::array<double, kNumHotaThresholds> association{};  // over matched pairs, each in [0, 1]

  HotaCounts& operator+=(const HotaCounts& other);
};

/// Means over the thresholds; kUndefined without ground truth.
struct HotaScores {
  double hota = kUndefined;
  double detection = kUndefined;    // DetA
  double association = kUndefined;  // AssA
};

/// Higher order tracking accuracy (Luiten et al. 2021, section 5).
HotaCounts hota_counts(const TrackingSequence& sequence);
HotaScores hota_scores(const HotaCounts& counts);

class Hota : public Measure {
 public:
  explicit Hota(const DiagnosticSizes& sizes);
  void add(size_t slot, const VideoEvidence& video) override;
  std::vector<std::vector<DiagnosticGroup>> groups() override;

 private:
  Records<HotaCounts> records_;
};

}  // namespace tessera::evaluation
