#pragma once
// What average precision hides: see docs/evaluation.md for the definitions and where they are from.

#include <cstddef>
#include <string>
#include <vector>

#include "launcher/data/ytvis.h"
#include "launcher/evaluation/stat.h"

namespace tessera::evaluation {

class Predictions;

struct DiagnosticOptions {
  /// Predictions of at least this score are the tracks that HOTA, IDF1, switches, gaps and jitter
  /// judge. Average precision needs no threshold.
  double score_threshold = 0.3;
};

enum class StatKind {
  kFraction,  // shown in percent
  kNumber,
  kCount,  // summed over categories; the others are averaged over those in which they are defined
};

struct DiagnosticStat : Stat {
  StatKind kind = StatKind::kFraction;
};

/// Numbers that are read together.
struct DiagnosticGroup {
  std::string name;
  std::vector<DiagnosticStat> stats;
};

struct Diagnostics {
  DiagnosticOptions options;
  std::vector<DiagnosticGroup> all;
  /// The same groups for each category by ascending id.
  std::vector<std::vector<DiagnosticGroup>> categories;
};

/// in: ground truth and predictions that `score` has accepted without `compatible`. Holds the masks
/// of one video for each thread (0: one for each core).
Diagnostics diagnose(const data::AnnotationFile& ground_truth, const Predictions& predictions,
                     const DiagnosticOptions& options, size_t num_threads);

}  // namespace tessera::evaluation
