#pragma once

#include "launcher/evaluation/diagnostics/scene.h"

namespace tessera::evaluation {

/// What each class of error costs: AP after one repair (see repairs.h) at a time, and what it
/// gains. The idea is that of TIDE (Bolya et al. 2020), with identity as a class of error of its
/// own.
class OracleSplit : public Measure {
 public:
  explicit OracleSplit(const DiagnosticSizes& sizes);
  void add(size_t slot, const VideoEvidence& video) override;
  std::vector<std::vector<DiagnosticGroup>> groups() override;

 private:
  size_t num_categories_;
  std::vector<Records<PrecisionRecord>> records_;  // as it is, then by repair
};

}  // namespace tessera::evaluation
