#pragma once

#include <array>
#include <csignal>

namespace tessera {

/// While it lives, SIGTERM, SIGINT and SIGUSR1 (which mpirun passes on without ending the job) only
/// ask to stop; the second one of a kind kills as usual.
/// One at a time.
class PreemptionGuard {
 public:
  PreemptionGuard();
  ~PreemptionGuard();
  PreemptionGuard(const PreemptionGuard&) = delete;
  PreemptionGuard& operator=(const PreemptionGuard&) = delete;

  /// Whether a signal came.
  bool requested() const;

 private:
  static constexpr std::array<int, 3> kSignals{SIGTERM, SIGINT, SIGUSR1};
  std::array<struct sigaction, 3> before_;
};

}  // namespace tessera
