#pragma once
// Stands in for CUDA's header of this name where kernels are compiled for tests/kernels/emulation.

#include <cstddef>
#include <cstring>

#include "tests/kernels/emulation/device.h"

using dim3_values = tessera::emulation::Dimensions;

struct dim3 : dim3_values {
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : dim3_values{x, y, z} {}
};

enum cudaError_t { cudaSuccess = 0 };
using cudaStream_t = void*;

inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}
