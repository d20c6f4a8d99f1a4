#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tessera {

/// Seconds that the RECORD_USER_SCOPEs of the current thread take while it lives: those of VisModel
/// ("backbone", "encoder", "decoder", "instance_head", "mask_head") and of ClipLosses ("criterion",
/// "auxiliary"). Scopes nest: while an inner one runs, the outer one's clock stands still, so that
/// all add up to the whole.
/// One at a time in a thread: a second one throws std::logic_error.
class PartTimes {
 public:
  /// Waits for `device` at every change of part where its work is asynchronous.
  explicit PartTimes(at::Device device = at::kCPU);
  /// `now` gives seconds; for tests.
  explicit PartTimes(std::function<double()> now);
  ~PartTimes();
  PartTimes(const PartTimes&) = delete;
  PartTimes& operator=(const PartTimes&) = delete;

  const std::map<std::string, double>& seconds() const { return seconds_; }
  void clear() { seconds_.clear(); }

 private:
  friend struct PartObserver;

  void count_until_now();

  std::function<double()> now_;
  uint64_t handle_ = 0;
  std::map<std::string, double> seconds_;
  std::vector<std::string> open_;  // outermost first
  double since_ = 0;               // what the innermost has not counted yet begins here
};

}  // namespace tessera
