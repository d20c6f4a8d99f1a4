#pragma once
// Forward and backward of any geometry, sizes of zero included.

#include "core/ops/cuda/gather.cuh"
#include "core/ops/cuda/gather_rows.cuh"
#include "core/ops/cuda/kernels.h"
#include "core/ops/cuda/scatter.cuh"

namespace tessera::cuda {

template <typename T>
cudaError_t clear(T* numbers, int64_t count, cudaStream_t stream) {
  if (numbers == nullptr || count == 0) return cudaSuccess;
  return cudaMemsetAsync(numbers, 0, static_cast<size_t>(count) * sizeof(T), stream);
}

template <typename T, typename Geometry>
cudaError_t forward(const Geometry& geometry, const T* value, T* output, cudaStream_t stream) {
  if (geometry.tasks() == 0 || geometry.dim == 0) return cudaSuccess;
  if (geometry.points() == 0) return clear(output, geometry.tasks() * geometry.dim, stream);
  return gather(geometry, value, output, stream);
}

template <typename T, typename Geometry>
cudaError_t backward(const Geometry& geometry, const T* grad_output, const T* value,
                     const ValueGradient<T>& grad_value, Acc<T>* grad_slopes, Acc<T>* grad_weights,
                     cudaStream_t stream) {
  const int64_t count = geometry.tasks() * geometry.points();
  if (count == 0 || geometry.dim == 0) {
    const int64_t channels = geometry.heads() * geometry.dim;
    cudaError_t error = clear(grad_value.in_order, geometry.rows() * channels, stream);
    if (error == cudaSuccess) error = clear(grad_slopes, count * Geometry::kAxes, stream);
    return error == cudaSuccess ? clear(grad_weights, count, stream) : error;
  }
  const cudaError_t error =
      scatter(geometry, grad_output, value, grad_value.sums, grad_slopes, grad_weights, stream);
  if (error != cudaSuccess || grad_value.in_order == nullptr) return error;
  return gather_rows(geometry, grad_output, grad_value, stream);
}

/// Bins of all heads, and the one of points outside.
template <typename Geometry>
int64_t num_bins(const Geometry& geometry) {
  return geometry.heads() * geometry.bins() + 1;
}

template <typename Geometry>
cudaError_t point_bins(const Geometry& geometry, int32_t* bins, cudaStream_t stream) {
  if (geometry.tasks() * geometry.points() == 0) return cudaSuccess;
  return find_bins(geometry, bins, stream);
}

}  // namespace tessera::cuda
