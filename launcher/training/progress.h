#pragma once

#include <cstdint>
#include <ostream>

#include "launcher/training/metrics_log.h"

namespace tessera {

/// The line that shows how training goes: rewritten in place on a terminal, else a line each time.
class Progress {
 public:
  Progress(std::ostream& out, bool terminal, int64_t iterations)
      : out_(out), terminal_(terminal), iterations_(iterations) {}

  void show(const StepMetrics& metrics);
  /// Ends the rewritten line, so that what follows stands on its own.
  void finish();

 private:
  std::ostream& out_;
  bool terminal_;
  int64_t iterations_;
  bool open_ = false;
};

}  // namespace tessera
