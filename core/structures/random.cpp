#include "core/structures/random.h"

#include <limits>

namespace tessera {
namespace {

constexpr uint64_t kGoldenGamma = 0x9e3779b97f4a7c15;

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014, variant 13 of Stafford).
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

Random::Random(std::initializer_list<uint64_t> key) {
  for (const uint64_t part : key) state_ = mix(state_ + kGoldenGamma + mix(part + kGoldenGamma));
}

uint64_t Random::next() {
  state_ += kGoldenGamma;
  return mix(state_);
}

double Random::uniform() {
  return static_cast<double>(next() >> 11) * 0x1.0p-53;
}

int64_t Random::integer(int64_t low, int64_t high) {
  const uint64_t count = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  if (count == 0) return static_cast<int64_t>(next());  // the whole range of int64_t
  // Values beyond the last whole multiple of `count` would favour small results: draw again.
  const uint64_t limit = std::numeric_limits<uint64_t>::max() / count * count;
  uint64_t value = next();
  while (value >= limit) value = next();
  return static_cast<int64_t>(static_cast<uint64_t>(low) + value % count);
}

}  // namespace tessera
