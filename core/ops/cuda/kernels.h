#pragma once
// Launchers of the CUDA kernels. No torch here: device pointers to dense arrays (shapes as in
// core/ops/kernels/sizes.h) and a stream. Each launcher enqueues its work and returns the launch's
// error. Sums into a shared gradient use atomicAdd, so their last bits differ from run to run.

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/ops/kernels/sampling_grid.h"
#include "core/ops/kernels/sizes.h"

namespace tessera::cuda {

/// Most levels of one ms_deform_attn call: they travel as a kernel argument, of 4 KB at most.
constexpr int kMaxLevels = 128;

struct Levels {
  kernels::Level level[kMaxLevels];
};

template <typename T>
cudaError_t st_deform_attn_forward(const kernels::StDeformAttnSizes& sizes, const T* value,
                                   const T* locations, const T* weights, T* output,
                                   cudaStream_t stream);

/// `grad_value` must be zero.
template <typename T>
cudaError_t st_deform_attn_backward(const kernels::StDeformAttnSizes& sizes, const T* grad_output,
                                    const T* value, const T* locations, const T* weights,
                                    T* grad_value, T* grad_locations, T* grad_weights,
                                    cudaStream_t stream);

template <typename T>
cudaError_t ms_deform_attn_forward(const kernels::MsDeformAttnSizes& sizes, const Levels& levels,
                                   const T* value, const T* locations, const T* weights, T* output,
                                   cudaStream_t stream);

/// `grad_value` must be zero.
template <typename T>
cudaError_t ms_deform_attn_backward(const kernels::MsDeformAttnSizes& sizes, const Levels& levels,
                                    const T* grad_output, const T* value, const T* locations,
                                    const T* weights, T* grad_value, T* grad_locations,
                                    T* grad_weights, cudaStream_t stream);

/// `mask` may be null.
template <typename T>
cudaError_t deform_columns_forward(const kernels::DeformColumnsSizes& sizes, const T* image,
                                   const T* offset, const T* mask, T* columns, cudaStream_t stream);

/// `grad_image` must be zero; `mask` and `grad_mask` may both be null.
template <typename T>
cudaError_t deform_columns_backward(const kernels::DeformColumnsSizes& sizes,
                                    kernels::Border border, const T* grad_columns, const T* image,
                                    const T* offset, const T* mask, T* grad_image, T* grad_offset,
                                    T* grad_mask, cudaStream_t stream);

}  // namespace tessera::cuda
