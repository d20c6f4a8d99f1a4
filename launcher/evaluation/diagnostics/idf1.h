#pragma once

#include "launcher/evaluation/diagnostics/measure.h"

namespace tessera::evaluation {

/// Frames in which the one prediction that a ground truth track is given for good is on it, and
/// those in which it is not.
struct IdentityCounts {
  double num_true = 0;    // IDTP
  double num_missed = 0;  // IDFN
  double num_false = 0;   // IDFP

  IdentityCounts& operator+=(const IdentityCounts& other);
};

/// Identity F1 (Ristani et al. 2016): one-to-one assignment of whole tracks, IoU 0.5 in a frame.
IdentityCounts identity_counts(const TrackingSequence& sequence);
/// kUndefined without ground truth.
double idf1(const IdentityCounts& counts);

class Idf1 : public Measure {
 public:
  explicit Idf1(const DiagnosticSizes& sizes);
  void add(size_t slot, const VideoEvidence& video) override;
  std::vector<std::vector<DiagnosticGroup>> groups() override;

 private:
  Records<IdentityCounts> records_;
};

}  // namespace tessera::evaluation
