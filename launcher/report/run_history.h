#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace tessera::report {

/// One logged step of a run.
struct StepPoint {
  int64_t iteration = 0;
  double seconds = 0;  // of training until then
  double total = 0;    // loss
};

/// One validation of a run, all scores 0..1.
struct ValidationPoint {
  int64_t iteration = 0;
  double seconds = 0;  // of training until then, validations left out
  std::vector<std::pair<std::string, double>> stats;

  /// Throws DataError where there is no such stat.
  double stat(const std::string& name) const;
};

/// Where the time of one step went on rank 0, in seconds; nothing counts twice.
struct StepSplit {
  int64_t iteration = 0;
  double data = 0, forward = 0, backward = 0, exposed = 0, optimiser = 0;
};

/// What metrics.jsonl tells, and profile.jsonl where `tessera train --profile` wrote one.
struct RunHistory {
  std::vector<StepPoint> steps;
  std::vector<ValidationPoint> validations;
  std::vector<StepSplit> splits;
  double seconds() const { return steps.empty() ? 0 : steps.back().seconds; }
};

/// Throws DataError naming the line where the file is no metrics.jsonl.
RunHistory read_history(const std::filesystem::path& metrics);

/// Throws DataError naming the line where the file is no profile.jsonl.
std::vector<StepSplit> read_profile(const std::filesystem::path& profile);

}  // namespace tessera::report
