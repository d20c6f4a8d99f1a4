#pragma once
// Runs of channels that a thread loads, adds and stores as one. Half precision travels as it is and
// is computed in float.

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "core/ops/cuda/accumulator.h"

namespace tessera::cuda {

/// Aligned to its size, so that the compiler moves it by one instruction up to 16 bytes.
template <typename T, int V>
struct alignas(sizeof(T) * V) Vector {
  T at[V];
};

__device__ inline float widen(float x) {
  return x;
}
__device__ inline double widen(double x) {
  return x;
}
__device__ inline float widen(__half x) {
  return __half2float(x);
}
__device__ inline float widen(__nv_bfloat16 x) {
  return __bfloat162float(x);
}

__device__ inline void narrow(float x, float& result) {
  result = x;
}
__device__ inline void narrow(double x, double& result) {
  result = x;
}
__device__ inline void narrow(float x, __half& result) {
  result = __float2half_rn(x);
}
__device__ inline void narrow(float x, __nv_bfloat16& result) {
  result = __float2bfloat16_rn(x);
}

/// V numbers at `from`, which must be aligned to their size; zeros where `wanted` is false.
template <int V, typename T>
__device__ __forceinline__ Vector<T, V> load(const T* from, bool wanted = true) {
  Vector<T, V> result{};
  if (wanted) result = *reinterpret_cast<const Vector<T, V>*>(from);
  return result;
}

template <int V, typename T>
__device__ __forceinline__ void store(T* to, const Acc<T> (&numbers)[V]) {
  Vector<T, V> result;
#pragma unroll
  for (int i = 0; i < V; ++i) narrow(numbers[i], result.at[i]);
  *reinterpret_cast<Vector<T, V>*>(to) = result;
}

/// sum += factor * numbers.
template <int V, typename T>
__device__ __forceinline__ void add_product(Acc<T> (&sum)[V], Acc<T> factor,
                                            const Vector<T, V>& numbers) {
#pragma unroll
  for (int i = 0; i < V; ++i) sum[i] += factor * widen(numbers.at[i]);
}

/// Adds factor * numbers to memory that others add to, too: in an order of its own in every run.
/// Four floats are one instruction from sm_90 on.
template <int V>
__device__ __forceinline__ void atomic_add_product(float* to, float factor,
                                                   const float (&numbers)[V]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  constexpr int kAtOnce = V % 4 == 0 ? 4 : V;
#else
  constexpr int kAtOnce = 1;
#endif
#pragma unroll
  for (int i = 0; i < V; i += kAtOnce) {
    if constexpr (kAtOnce == 4) {
      atomicAdd(reinterpret_cast<float4*>(to + i),
                make_float4(factor * numbers[i], factor * numbers[i + 1], factor * numbers[i + 2],
                            factor * numbers[i + 3]));
    } else if constexpr (kAtOnce == 2) {
      atomicAdd(reinterpret_cast<float2*>(to + i),
                make_float2(factor * numbers[i], factor * numbers[i + 1]));
    } else {
      atomicAdd(to + i, factor * numbers[i]);
    }
  }
}

template <int V>
__device__ __forceinline__ void atomic_add_product(double* to, double factor,
                                                   const double (&numbers)[V]) {
#pragma unroll
  for (int i = 0; i < V; ++i) atomicAdd(to + i, factor * numbers[i]);
}

}  // namespace tessera::cuda
