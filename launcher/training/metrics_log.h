#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launcher/evaluation/score.h"
#include "launcher/training/tensorboard_log.h"

namespace tessera {

/// What one line of metrics.jsonl says. All but the two times are those of this very iteration, so
/// that two runs can be compared bit for bit.
struct StepMetrics {
  int64_t iteration = 0;  // steps done, this one included: the first is 1
  int64_t epoch = 0;      // of the step's first clip, from 0
  double lr = 0;          // without groups' factors
  double total = 0;       // weighted sum of the terms
  std::vector<std::pair<std::string, double>> terms;  // unweighted
  double grad_norm = 0;                               // before clipping
  double seconds = 0;                                 // a step, mean since the line before
  double data_seconds = 0;                            // of these, waiting for clips
};

/// The file metrics.jsonl: one JSON object a line, numbers in full precision, NaN as null.
class MetricsLog {
 public:
  /// Opens the file for appending after its lines up to `last_iteration`; what follows them, also a
  /// line cut short, is cut off. Throws RuntimeError where it cannot be written, DataError where a
  /// line before the end is no metrics.
  /// `for_tensorboard`: the same numbers also go to a file for TensorBoard in the same folder.
  MetricsLog(std::filesystem::path file, int64_t last_iteration, bool for_tensorboard = false);

  void write(const StepMetrics& metrics);
  /// A line {"iteration", "validation": {name: value}, "seconds": of the validation}, under
  /// train.patience with "validations_since_best", and "stopped": "patience" where that ends the
  /// run.
  void write_validation(int64_t iteration, const std::vector<evaluation::Stat>& stats,
                        double seconds, std::optional<int64_t> validations_since_best = {},
                        bool stopped = false);

 private:
  void write_line(const std::string& line);

  std::filesystem::path file_;
  std::ofstream stream_;
  std::optional<TensorBoardLog> tensorboard_;
};

}  // namespace tessera
