#pragma once
// Vectors of one width for every instruction set, and the attribute that compiles a kernel once per
// instruction set. Sums run in lanes of that width on all of them; multiply-adds are fused where
// the processor can, so instruction sets differ in the last bits.

#include <cstdint>
#include <cstring>
#include <type_traits>

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

constexpr int64_t kLaneBytes = 64;

template <typename T>
struct LaneTypes {
  // g++ splits them into what the instruction set has.
  typedef T Lanes __attribute__((vector_size(kLaneBytes)));
  typedef T Half __attribute__((vector_size(kLaneBytes / 2)));
  typedef T Quarter __attribute__((vector_size(kLaneBytes / 4)));
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef Index IndexLanes __attribute__((vector_size(kLaneBytes)));
  static constexpr int64_t kWidth = kLaneBytes / sizeof(T);
};

template <typename T>
using Lanes = typename LaneTypes<T>::Lanes;

/// Integers as wide as T: lane i of a comparison of Lanes<T> is -1 or 0 in them.
template <typename T>
using Index = typename LaneTypes<T>::Index;
template <typename T>
using IndexLanes = typename LaneTypes<T>::IndexLanes;

template <typename T>
constexpr int64_t kLanes = LaneTypes<T>::kWidth;

/// `count` numbers rounded up to whole lanes.
template <typename T>
constexpr int64_t round_up_to_lanes(int64_t count) {
  return (count + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

template <typename T>
TESSERA_KERNEL_INLINE Lanes<T> load_lanes(const T* from) {
  Lanes<T> lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

template <typename T>
TESSERA_KERNEL_INLINE IndexLanes<T> load_indices(const Index<T>* from) {
  IndexLanes<T> lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

/// Fills `lanes` from `from`, of which `readable` numbers may be read; the rest stays as it is.
template <typename T, size_t count>
TESSERA_KERNEL_INLINE void load_readable(const T* from, int64_t readable,
                                         Lanes<T> (&lanes)[count]) {
  if (readable >= static_cast<int64_t>(count) * kLanes<T>) {
    for (size_t v = 0; v < count; ++v) lanes[v] = load_lanes(from + v * kLanes<T>);
  } else {
    std::memcpy(lanes, from, static_cast<size_t>(readable) * sizeof(T));
  }
}

template <typename Element, typename Vector>
TESSERA_KERNEL_INLINE void store_lanes(Element* to, const Vector& lanes) {
  static_assert(sizeof(Vector) == kLaneBytes);
  std::memcpy(to, &lanes, sizeof(lanes));
}

/// The sum of lanes i, i + 1/4, i + 2/4 and i + 3/4 of the width, for every i of the first quarter.
template <typename T>
TESSERA_KERNEL_INLINE typename LaneTypes<T>::Quarter fold_to_quarter(const Lanes<T>& lanes) {
  typename LaneTypes<T>::Half halves[2];
  std::memcpy(halves, &lanes, sizeof(lanes));
  const typename LaneTypes<T>::Half half = halves[0] + halves[1];
  typename LaneTypes<T>::Quarter quarters[2];
  std::memcpy(quarters, &half, sizeof(half));
  return quarters[0] + quarters[1];
}

/// The sums of the lanes of four vectors at once.
TESSERA_KERNEL_INLINE void sum_four(const Lanes<float> lanes[4], float sums[4]) {
  using Quarter = LaneTypes<float>::Quarter;
  const Quarter a = fold_to_quarter<float>(lanes[0]), b = fold_to_quarter<float>(lanes[1]);
  const Quarter c = fold_to_quarter<float>(lanes[2]), d = fold_to_quarter<float>(lanes[3]);
  const Quarter ab =
      __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quarter cd =
      __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Quarter all =
      __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  std::memcpy(sums, &all, sizeof(all));
}

TESSERA_KERNEL_INLINE void sum_four(const Lanes<double> lanes[4], double sums[4]) {
  for (int i = 0; i < 4; ++i) {
    const auto pair = fold_to_quarter<double>(lanes[i]);
    sums[i] = pair[0] + pair[1];
  }
}

}  // namespace tessera::kernels
