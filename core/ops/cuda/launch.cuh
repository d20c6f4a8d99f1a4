#pragma once
// What the CUDA kernels share: grid-stride launches and the four rows around a sample.

#include <cstdint>

#include "core/ops/kernels/sampling_grid.h"

namespace tessera::cuda {

constexpr int kThreads = 256;

/// Blocks for `count` items; the kernels stride over the rest, so any count fits.
inline unsigned int num_blocks(int64_t count) {
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  return static_cast<unsigned int>(blocks < 1048576 ? blocks : 1048576);
}

/// The first item of this thread, and the distance to its next one.
__device__ inline int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t item_stride() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

/// The interpolated value of one channel at `cell`.
template <typename T>
__device__ T sample_channel(const T* plane, const kernels::PlaneCell<T>& cell, int64_t row_stride) {
  T sum = 0;
  for (int c = 0; c < 4; ++c) {
    if (cell.row[c] >= 0) sum += cell.weight[c] * plane[cell.row[c] * row_stride];
  }
  return sum;
}

/// Dot products of `other` with the four rows around `cell`, zero for rows outside.
template <typename T>
__device__ void dot_rows(T dots[4], const T* plane, const T* other,
                         const kernels::PlaneCell<T>& cell, int64_t row_stride, int64_t dim) {
  for (int c = 0; c < 4; ++c) {
    dots[c] = 0;
    if (cell.row[c] < 0) continue;
    const T* row = plane + cell.row[c] * row_stride;
    for (int64_t d = 0; d < dim; ++d) dots[c] += row[d] * other[d];
  }
}

/// Adds `scale` times `source`, spread by the bilinear weights, to the four rows of `plane`.
template <typename T>
__device__ void spread_rows(T* plane, const T* source, const kernels::PlaneCell<T>& cell, T scale,
                            int64_t row_stride, int64_t dim) {
  for (int c = 0; c < 4; ++c) {
    if (cell.row[c] < 0) continue;
    T* row = plane + cell.row[c] * row_stride;
    const T factor = scale * cell.weight[c];
    for (int64_t d = 0; d < dim; ++d) atomicAdd(row + d, factor * source[d]);
  }
}

}  // namespace tessera::cuda
