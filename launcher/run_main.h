#pragma once

#include <functional>
#include <string>

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

/// The one place that catches: runs `body`, prints an error to stderr and returns its exit code. If
/// standard output could not be written, that is an error, too (kRuntimeError).
/// `who`, where given, is asked what to put in front ("rank 1 on node7"); `also` is given the
/// error's message, too.
int run_main(const std::function<int()>& body, const std::function<std::string()>& who = {},
             const std::function<void(const std::string& error)>& also = {});

}  // namespace tessera
