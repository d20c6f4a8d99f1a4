#pragma once

#include <cstdint>
#include <ostream>

#include "launcher/training/metrics_log.h"

namespace tessera {

class EventLog;

/// The line that shows how training goes: rewritten in place on a terminal, else a line each time.
class Progress {
 public:
  /// in: `log`, told the same; may be null.
  Progress(std::ostream& out, bool terminal, int64_t iterations, EventLog* log = nullptr)
      : out_(out), terminal_(terminal), iterations_(iterations), log_(log) {}

  /// Ends the rewritten line, so that what follows (an error, too) stands on its own.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const StepMetrics& metrics);
  /// A line of its own. in: seconds since the run began.
  void show_validation(int64_t iteration, const std::vector<evaluation::Stat>& stats,
                       double seconds);

 private:
  std::ostream& out_;
  bool terminal_;
  int64_t iterations_;
  EventLog* log_;
  bool open_ = false;
};

}  // namespace tessera
