#pragma once

#include <array>
#include <csignal>

namespace tessera {

/// While it lives, SIGTERM and SIGINT only ask to stop; the second one of a kind kills as usual.
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
  static constexpr std::array<int, 2> kSignals{SIGTERM, SIGINT};
  std::array<struct sigaction, 2> before_;
};

}  // namespace tessera
