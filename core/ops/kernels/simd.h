#pragma once
// Loops over the contiguous channels of one head, and the attribute that compiles a kernel once
// per instruction set. Sums run in lanes of a fixed width and no multiply-add is fused (ISO C++
// mode), so every instruction set gives the same bits.

#include <cstdint>
#include <cstring>

#include "core/ops/kernels/sampling_grid.h"

// The loader picks the version for the processor. Sanitizers cannot run in the resolver, which
// runs before they are ready.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(TESSERA_NO_CLONES)
#define TESSERA_SIMD_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define TESSERA_SIMD_CLONES
#endif

namespace tessera::kernels {

/// 64 bytes of T; g++ splits it into what the instruction set has.
template <typename T>
struct Simd {
  typedef T Lanes __attribute__((vector_size(64)));
  static constexpr int64_t kWidth = 64 / sizeof(T);
};

template <typename T>
TESSERA_KERNEL_INLINE void load(typename Simd<T>::Lanes& lanes, const T* from) {
  std::memcpy(&lanes, from, sizeof(lanes));
}

template <typename T>
TESSERA_KERNEL_INLINE T sum_of_lanes(typename Simd<T>::Lanes lanes) {
  T sum = 0;
  for (int64_t i = 0; i < Simd<T>::kWidth; ++i) sum += lanes[i];
  return sum;
}

/// out[d] += scale * row[d].
template <typename T>
TESSERA_KERNEL_INLINE void add_scaled(T* __restrict out, const T* __restrict row, T scale,
                                      int64_t dim) {
  for (int64_t d = 0; d < dim; ++d) out[d] += scale * row[d];
}

/// Adds `scale` times the interpolated sample at `cell` of `plane` (rows `row_stride` apart) to
/// `out`.
template <typename T>
TESSERA_KERNEL_INLINE void add_sample(T* __restrict out, const T* __restrict plane,
                                      const PlaneCell<T>& cell, T scale, int64_t row_stride,
                                      int64_t dim) {
  if (cell.row[0] >= 0 && cell.row[3] >= 0) {  // well inside: one pass over `out`, not four
    const T* __restrict r0 = plane + cell.row[0] * row_stride;
    const T* __restrict r1 = plane + cell.row[1] * row_stride;
    const T* __restrict r2 = plane + cell.row[2] * row_stride;
    const T* __restrict r3 = plane + cell.row[3] * row_stride;
    const T w0 = scale * cell.weight[0];
    const T w1 = scale * cell.weight[1];
    const T w2 = scale * cell.weight[2];
    const T w3 = scale * cell.weight[3];
    for (int64_t d = 0; d < dim; ++d) {
      out[d] += (w0 * r0[d] + w1 * r1[d]) + (w2 * r2[d] + w3 * r3[d]);
    }
    return;
  }
  for (int c = 0; c < 4; ++c) {
    if (cell.row[c] < 0) continue;
    add_scaled(out, plane + cell.row[c] * row_stride, scale * cell.weight[c], dim);
  }
}

template <typename T>
TESSERA_KERNEL_INLINE T dot(const T* __restrict a, const T* __restrict b, int64_t dim) {
  typename Simd<T>::Lanes sum{};
  int64_t d = 0;
  for (; d + Simd<T>::kWidth <= dim; d += Simd<T>::kWidth) {
    typename Simd<T>::Lanes x, y;
    load<T>(x, a + d);
    load<T>(y, b + d);
    sum += x * y;
  }
  T total = sum_of_lanes<T>(sum);
  for (; d < dim; ++d) total += a[d] * b[d];
  return total;
}

/// The dot products of `other` with the four rows around `cell`, zero for rows outside.
template <typename T>
TESSERA_KERNEL_INLINE void dot_rows(T dots[4], const T* __restrict plane, const T* __restrict other,
                                    const PlaneCell<T>& cell, int64_t row_stride, int64_t dim) {
  for (int c = 0; c < 4; ++c) {
    dots[c] = cell.row[c] < 0 ? T(0) : dot(plane + cell.row[c] * row_stride, other, dim);
  }
}

/// Adds `scale` times `source`, spread by the bilinear weights, to the four rows of `plane`.
template <typename T>
TESSERA_KERNEL_INLINE void spread_rows(T* __restrict plane, const T* __restrict source,
                                       const PlaneCell<T>& cell, T scale, int64_t row_stride,
                                       int64_t dim) {
  for (int c = 0; c < 4; ++c) {
    if (cell.row[c] < 0) continue;
    add_scaled(plane + cell.row[c] * row_stride, source, scale * cell.weight[c], dim);
  }
}

}  // namespace tessera::kernels
