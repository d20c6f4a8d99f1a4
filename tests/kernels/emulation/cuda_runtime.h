#pragma once
// Stands in for CUDA's header of this name where kernels are compiled for tests/kernels/emulation.

#include <cuda_runtime_api.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
// One block runs at a time, so what its threads share can be the program's.
#define __shared__ static
#define __launch_bounds__(...)

inline const auto& threadIdx = tessera::emulation::indices().thread;
inline const auto& blockIdx = tessera::emulation::indices().block;
inline const auto& blockDim = tessera::emulation::indices().threads_of_block;
inline const auto& gridDim = tessera::emulation::indices().blocks_of_grid;

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  cudaStream_t stream;
};

/// Runs the kernel to its end, with parameters of its own as on the device.
template <typename... Parameters>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Parameters... parameters) {
  tessera::emulation::run(config->gridDim, config->blockDim, [&] { kernel(parameters...); });
  return cudaSuccess;
}

inline void __syncthreads() {
  tessera::emulation::block_barrier();
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  tessera::emulation::warp_barrier(mask);
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return tessera::emulation::shuffle(mask, value, lane / width * width + from % width);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return tessera::emulation::shuffle(mask, value, lane ^ step);
}

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}

// A fiber is not interrupted, so plain additions are atomic.
template <typename T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to += value;
  return before;
}
inline float2 atomicAdd(float2* to, float2 value) {
  auto* numbers = reinterpret_cast<float*>(to);
  return {atomicAdd(numbers, value.x), atomicAdd(numbers + 1, value.y)};
}
inline float4 atomicAdd(float4* to, float4 value) {
  auto* numbers = reinterpret_cast<float*>(to);
  return {atomicAdd(numbers, value.x), atomicAdd(numbers + 1, value.y),
          atomicAdd(numbers + 2, value.z), atomicAdd(numbers + 3, value.w)};
}
