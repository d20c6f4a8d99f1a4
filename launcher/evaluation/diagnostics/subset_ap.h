#pragma once

#include <string>

#include "launcher/evaluation/diagnostics/scene.h"

namespace tessera::evaluation {

/// Average precision by some property of the ground truth: tracks outside of a subset are ignored,
/// as are the predictions that match them.
class SubsetAp : public Measure {
 public:
  struct Subset {
    std::string name;
    Range range;
  };

  SubsetAp(std::string group, std::vector<Subset> subsets, const DiagnosticSizes& sizes);
  void add(size_t slot, const VideoEvidence& video) override;
  std::vector<std::vector<DiagnosticGroup>> groups() override;

 private:
  std::string group_;
  std::vector<Subset> subsets_;
  size_t num_categories_;
  std::vector<Records<PrecisionRecord>> records_;  // by subset
};

/// By the number of frames in which a track has a pixel. Predictions that match nothing are ignored
/// where their own length is outside, as for areas.
SubsetAp ap_by_track_length(const DiagnosticSizes& sizes);
/// By the levels of OVIS (Qi et al. 2022); predictions have no level.
SubsetAp ap_by_occlusion(const DiagnosticSizes& sizes);

}  // namespace tessera::evaluation
