#pragma once

#include <functional>

namespace tessera {

/// Exit codes of every command: 0 only when the job was done.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,  // a check ran and did not hold (parity, plugins check)
  kConfigError = 2,
  kPluginError = 3,
  kDataError = 4,
  kRuntimeError = 5,
  kPreempted = 6,  // checkpoint written, run again
};

/// The one place that catches: runs `body`, prints an error to stderr and returns its exit code.
int run_main(const std::function<int()>& body);

}  // namespace tessera
