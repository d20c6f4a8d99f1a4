#pragma once
// exp() of whole vectors.

#include <cmath>
#include <cstring>

#include "core/ops/kernels/lanes.h"

namespace tessera::kernels {

/// exp(x) for x <= 0, within two units of the last place; 0 below -87, where it leaves the normal
/// numbers. NaN stays NaN. After Cephes' expf (Moshier): exp(x) = 2^n exp(r), |r| <= ln(2) / 2.
TESSERA_KERNEL_INLINE Lanes<float> exponential(Lanes<float> x) {
  constexpr float kLeast = -87.0f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum's last bits are the rounded number
  constexpr int32_t kRoundBits = 0x4b400000;
  const Lanes<float> given = x;
  x = x < kLeast ? Lanes<float>{} + kLeast : x;
  const Lanes<float> rounded = x * 1.44269504f + kRound;
  const Lanes<float> n = rounded - kRound;
  const Lanes<float> r = x - n * 0.693359375f + n * 2.12194440e-4f;
  Lanes<float> sum = r * 1.9875691500e-4f + 1.3981999507e-3f;
  sum = sum * r + 8.3334519073e-3f;
  sum = sum * r + 4.1665795894e-2f;
  sum = sum * r + 1.6666665459e-1f;
  sum = sum * r + 5.0000001201e-1f;
  sum = sum * r * r + r + 1.0f;
  IndexLanes<float> bits;
  std::memcpy(&bits, &rounded, sizeof(bits));
  bits = (bits - kRoundBits + 127) << 23;  // the exponent's place in a float
  Lanes<float> power;
  std::memcpy(&power, &bits, sizeof(power));
  return given < kLeast ? Lanes<float>{} : sum * power;
}

TESSERA_KERNEL_INLINE Lanes<double> exponential(Lanes<double> x) {
  for (int64_t i = 0; i < kLanes<double>; ++i) x[i] = std::exp(x[i]);
  return x;
}

}  // namespace tessera::kernels
