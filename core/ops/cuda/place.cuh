#pragma once
// Where a sampling point lies among the cells of a grid of two or three axes, and what the numbers
// at its corners mean for it. Axes are x, y[, t]; bit a of a corner's number says whether it is the
// upper one on axis a.

#include <cuda_runtime.h>

#include <cstdint>

#include "core/ops/kernels/sampling_grid.h"

namespace tessera::cuda {

/// A grid of cells whose rows of values begin at `first_row`. Points between the same cells make a
/// bin: bins are counted from -1 on each axis, hence size + 1 of them, and begin at `first_bin`.
template <int kAxes>
struct Grid {
  int64_t size[kAxes];
  int64_t first_row, first_bin;
};

template <int kAxes>
TESSERA_KERNEL_INLINE int64_t num_bins(const Grid<kAxes>& grid) {
  int64_t bins = 1;
  for (int a = 0; a < kAxes; ++a) bins *= grid.size[a] + 1;
  return bins;
}

template <typename A, int kAxes>
struct Place {
  kernels::AxisCell<A> axis[kAxes];

  __device__ __forceinline__ bool inside() const {
    bool all = true;
#pragma unroll
    for (int a = 0; a < kAxes; ++a) all = all && axis[a].inside();
    return all;
  }

  /// The row of a corner, -1 where that is not on the grid.
  __device__ __forceinline__ int64_t row(const Grid<kAxes>& grid, int corner) const {
    bool there = inside();
    int64_t row = 0;
#pragma unroll
    for (int a = kAxes - 1; a >= 0; --a) {
      const bool upper = corner >> a & 1;
      there = there && (upper ? axis[a].has_high : axis[a].has_low);
      row = row * grid.size[a] + axis[a].low + upper;
    }
    return there ? grid.first_row + row : -1;
  }

  /// What a corner counts in the interpolation.
  __device__ __forceinline__ A weight(int corner) const {
    A weight = 1;
#pragma unroll
    for (int a = kAxes - 1; a >= 0; --a) {
      weight *= corner >> a & 1 ? axis[a].fraction : A(1) - axis[a].fraction;
    }
    return weight;
  }

  /// The bin that this point, which must be inside, belongs to.
  __device__ __forceinline__ int64_t bin(const Grid<kAxes>& grid) const {
    int64_t bin = 0;
#pragma unroll
    for (int a = kAxes - 1; a >= 0; --a) bin = bin * (grid.size[a] + 1) + axis[a].low + 1;
    return grid.first_bin + bin;
  }
};

/// The corners of a point that are on the grid, with its own weight in theirs; row -1: not on it.
template <typename A, int kAxes>
struct alignas(16) Corners {
  int row[1 << kAxes];
  A weight[1 << kAxes];
};

template <typename A, int kAxes>
__device__ __forceinline__ Corners<A, kAxes> corners_of(const Place<A, kAxes>& place,
                                                        const Grid<kAxes>& grid, A weight) {
  Corners<A, kAxes> corners;
#pragma unroll
  for (int c = 0; c < 1 << kAxes; ++c) {
    corners.row[c] = static_cast<int>(place.row(grid, c));
    // Zero times whatever `weight` is would not do: it may be NaN.
    corners.weight[c] = corners.row[c] < 0 ? A(0) : weight * place.weight(c);
  }
  return corners;
}

template <typename A>
__device__ __forceinline__ A between(A low, A high, A fraction) {
  return (A(1) - fraction) * low + fraction * high;
}

/// From numbers at the corners: [0] their interpolation, [1 + a] its slope on axis a.
template <typename A>
__device__ __forceinline__ void interpolate(const A (&numbers)[4], const A (&fraction)[2],
                                            A (&result)[4]) {
  const A low = between(numbers[0], numbers[1], fraction[0]);
  const A high = between(numbers[2], numbers[3], fraction[0]);
  result[0] = between(low, high, fraction[1]);
  result[1] = between(numbers[1] - numbers[0], numbers[3] - numbers[2], fraction[1]);
  result[2] = high - low;
  result[3] = 0;
}

template <typename A>
__device__ __forceinline__ void interpolate(const A (&numbers)[8], const A (&fraction)[3],
                                            A (&result)[4]) {
  const A plane[2] = {fraction[0], fraction[1]};
  const A below[4] = {numbers[0], numbers[1], numbers[2], numbers[3]};
  const A above[4] = {numbers[4], numbers[5], numbers[6], numbers[7]};
  A low[4], high[4];
  interpolate(below, plane, low);
  interpolate(above, plane, high);
#pragma unroll
  for (int i = 0; i < 3; ++i) result[i] = between(low[i], high[i], fraction[2]);
  result[3] = high[0] - low[0];
}

}  // namespace tessera::cuda
