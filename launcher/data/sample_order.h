#pragma once

#include <cstdint>
#include <vector>

namespace tessera::data {

/// The order in which the samples of a data set are visited: one permutation for each epoch, a
/// function of (seed, epoch) alone. All epochs in a row form one line of positions from 0, so that
/// where training stopped is a single number.
class SampleOrder {
 public:
  /// Throws RuntimeError unless size >= 1.
  SampleOrder(uint64_t seed, int64_t size);

  /// out: [size] each of 0..size-1 once.
  std::vector<int64_t> epoch(int64_t epoch) const;

  struct Place {
    int64_t epoch = 0;
    int64_t sample = 0;  // 0..size-1
  };
  /// The sample at a position of the line. Not thread-safe: keeps the latest epoch's permutation.
  Place at(int64_t position);

  int64_t size() const { return size_; }

 private:
  uint64_t seed_;
  int64_t size_;
  int64_t kept_epoch_ = -1;
  std::vector<int64_t> kept_;
};

}  // namespace tessera::data
