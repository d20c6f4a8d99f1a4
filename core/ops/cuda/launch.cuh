#pragma once
// How kernels are started: grids that stride over what does not fit, and the width of the vectors
// that the arrays allow.

#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>
#include <type_traits>

namespace tessera::cuda {

/// Starts `kernel` and returns the launch's error.
template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 blocks, int threads, cudaStream_t stream,
                   const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

/// Blocks for `count` items, `each` in a block; kernels stride over the rest, so any count fits.
// The tests make it small, to see kernels stride.
#if !defined(TESSERA_MOST_BLOCKS)
#define TESSERA_MOST_BLOCKS 1048576
#endif

inline unsigned num_blocks(int64_t count, int64_t each) {
  const int64_t blocks = (count - 1) / each + 1;
  return static_cast<unsigned>(blocks < TESSERA_MOST_BLOCKS ? blocks : TESSERA_MOST_BLOCKS);
}

inline int64_t divide_up(int64_t count, int64_t each) {
  return (count - 1) / each + 1;
}

/// The first power of two from `least` on that is not below `count`, `most` at most.
inline int power_of_two(int64_t count, int least, int most) {
  int power = least;
  while (power < count && power < most) power *= 2;
  return power;
}

/// Calls body(integral_constant<int, V>) with the widest V, 16 bytes at most, of which `dim` is a
/// multiple and to which all `arrays` are aligned: else rows begin between vectors.
template <typename T, typename Body>
cudaError_t with_vector(int64_t dim, std::initializer_list<const void*> arrays, const Body& body) {
  const auto fits = [&](int64_t numbers) {
    bool all = dim % numbers == 0;
    for (const void* array : arrays) {
      all = all && reinterpret_cast<uintptr_t>(array) % (numbers * sizeof(T)) == 0;
    }
    return all;
  };
  if constexpr (sizeof(T) == 2) {
    if (fits(8)) return body(std::integral_constant<int, 8>{});
    if (fits(2)) return body(std::integral_constant<int, 2>{});
  } else if constexpr (sizeof(T) == 4) {
    if (fits(4)) return body(std::integral_constant<int, 4>{});
  }
  return body(std::integral_constant<int, 1>{});
}

}  // namespace tessera::cuda
