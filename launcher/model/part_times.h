#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/structures/predictions.h"

namespace tessera {

/// Seconds that the parts of a model take. Parts nest: while an inner one works, the outer one's
/// clock stands still, so that the parts add up to the whole.
class PartTimes {
 public:
  /// Waits for `device` at every change of part where its work is asynchronous.
  explicit PartTimes(at::Device device = at::kCPU);
  /// `now` gives seconds; for tests.
  explicit PartTimes(std::function<double()> now) : now_(std::move(now)) {}

  /// Counts for `part` while it lives. Without times it does nothing.
  class Scope {
   public:
    Scope(PartTimes* times, std::string_view part) : times_(times) {
      if (times_) times_->begin(part);
    }
    ~Scope() {
      if (times_) times_->end();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PartTimes* times_;
  };

  const std::map<std::string, double>& seconds() const { return seconds_; }
  void clear() { seconds_.clear(); }

 private:
  void begin(std::string_view part);
  void end();
  void count_until_now();

  std::function<double()> now_;
  std::map<std::string, double> seconds_;
  std::vector<std::string> open_;  // outermost first
  double since_ = 0;               // what the innermost has not counted yet begins here
};

/// Masks whose computation counts as the part "masks"; `source` itself without times. `times` must
/// outlive it.
std::shared_ptr<const MaskSource> timed(std::shared_ptr<const MaskSource> source, PartTimes* times);

}  // namespace tessera
