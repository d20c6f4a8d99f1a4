#pragma once
// The random numbers of dropout: a function of a seed and a place, so that nothing needs to be kept
// and any thread can draw any part. They are those of SplitMix64 (Steele, Lea, Flood 2014), four
// numbers of 16 bits from each of its outputs.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/ops/kernels/lanes.h"

namespace tessera::kernels {

/// What is dropped: a number below `threshold`, of 2^16 that are alike.
struct DropoutPattern {
  uint64_t seed;
  int32_t threshold;  // 0 .. 2^16

  DropoutPattern(uint64_t seed_of_all, double probability)
      : seed(seed_of_all), threshold(static_cast<int32_t>(probability * kNumbers + 0.5)) {}

  /// What is kept is multiplied by this, so that the mean stays.
  double scale() const {
    return threshold < kNumbers ? static_cast<double>(kNumbers) / (kNumbers - threshold) : 0.0;
  }

  static constexpr int32_t kNumbers = 1 << 16;
};

constexpr int64_t kDropoutGroup = 4;  // numbers drawn at once

/// The factors, 0 or scale(), of places `begin` to `end`, which begin at a whole group.
template <typename T>
TESSERA_KERNEL_INLINE void draw_dropout_factors(const DropoutPattern& pattern, int64_t begin,
                                                int64_t end, T* factors) {
  constexpr int64_t kBlock = 256, kWords = kBlock / kDropoutGroup;
  const T scale = static_cast<T>(pattern.scale());
  const int32_t threshold = pattern.threshold;
  for (int64_t first = begin; first < end; first += kBlock) {
    uint64_t words[kWords];
    const uint64_t group = static_cast<uint64_t>(first / kDropoutGroup);
    for (int64_t i = 0; i < kWords; ++i) {
      uint64_t word = pattern.seed + (group + static_cast<uint64_t>(i) + 1) * 0x9e3779b97f4a7c15u;
      word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
      word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
      words[i] = word ^ (word >> 31);
    }
    uint16_t numbers[kBlock];
    std::memcpy(numbers, words, sizeof(words));
    T* to = factors + (first - begin);
    const int64_t count = std::min(kBlock, end - first);
    for (int64_t i = 0; i < count; ++i) to[i] = numbers[i] < threshold ? T(0) : scale;
  }
}

void dropout_factors(const DropoutPattern& pattern, int64_t begin, int64_t end, float* factors);
void dropout_factors(const DropoutPattern& pattern, int64_t begin, int64_t end, double* factors);

}  // namespace tessera::kernels
