#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/export.h"

namespace tessera {

/// A stream of random numbers that depends on its key alone, never on the thread, the process or
/// what was drawn before; the same on every machine (SplitMix64).
class TESSERA_API Random {
 public:
  /// Numbers such as (seed, epoch, sample index); another key or order gives another stream.
  explicit Random(std::initializer_list<uint64_t> key);

  uint64_t next();
  /// out: in [0, 1).
  double uniform();
  /// out: in [low, high).
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// out: in [low, high], both included. Needs low <= high.
  int64_t integer(int64_t low, int64_t high);
  bool happens(double probability) { return uniform() < probability; }

 private:
  uint64_t state_ = 0;
};

}  // namespace tessera
