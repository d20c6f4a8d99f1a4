#pragma once
// Launchers of the CUDA kernels. No torch here: device pointers to dense arrays (shapes as in
// core/ops/kernels/sizes.h) and a stream. Each launcher enqueues its work and returns the launch's
// error. Rows of values must count in 32 bits, everything else in 64; any size may be 0, and then
// outputs are zero where there are any.
//
// T is float, double, __half or __nv_bfloat16 (convolution: float or double). Values, outputs and
// their gradients are of T; sums, locations, weights and their gradients of Acc<T>.

#include <cuda_runtime_api.h>

#include <cstdint>

#include "core/ops/cuda/accumulator.h"
#include "core/ops/kernels/sampling_grid.h"
#include "core/ops/kernels/sizes.h"

namespace tessera::cuda {

/// Most levels of one ms_deform_attn call: they travel as a kernel argument.
constexpr int kMaxLevels = 128;

/// Where the gradient of values goes: `sums`, or `in_order` with all that follows it.
template <typename T>
struct ValueGradient {
  Acc<T>* sums = nullptr;  // zero before; atomics add to it, in an order that differs by the run
  T* in_order = nullptr;   // every number is written, the same bits in every run
  const int32_t* sorted_bins = nullptr;  // what ..._bins writes, sorted
  const int64_t* order = nullptr;        // the point of each: a stable sort's, to be reproducible
  int32_t* starts = nullptr;             // scratch, ..._num_bins numbers
};

// Points between the same cells are in one bin, and those outside in the last. With ValueGradient's
// `in_order`, points and bins must count in 31 bits.

template <typename T>
cudaError_t st_deform_attn_forward(const kernels::StDeformAttnSizes& sizes, const T* value,
                                   const Acc<T>* locations, const Acc<T>* weights, T* output,
                                   cudaStream_t stream);

template <typename T>
cudaError_t st_deform_attn_backward(const kernels::StDeformAttnSizes& sizes, const T* grad_output,
                                    const T* value, const Acc<T>* locations, const Acc<T>* weights,
                                    const ValueGradient<T>& grad_value, Acc<T>* grad_locations,
                                    Acc<T>* grad_weights, cudaStream_t stream);

int64_t st_deform_attn_num_bins(const kernels::StDeformAttnSizes& sizes);

/// Writes the bin of every point, laid out as the weights.
template <typename A>
cudaError_t st_deform_attn_bins(const kernels::StDeformAttnSizes& sizes, const A* locations,
                                int32_t* bins, cudaStream_t stream);

/// `levels`: host memory, sizes.levels of them, kMaxLevels at most.
template <typename T>
cudaError_t ms_deform_attn_forward(const kernels::MsDeformAttnSizes& sizes,
                                   const kernels::Level* levels, const T* value,
                                   const Acc<T>* locations, const Acc<T>* weights, T* output,
                                   cudaStream_t stream);

template <typename T>
cudaError_t ms_deform_attn_backward(const kernels::MsDeformAttnSizes& sizes,
                                    const kernels::Level* levels, const T* grad_output,
                                    const T* value, const Acc<T>* locations, const Acc<T>* weights,
                                    const ValueGradient<T>& grad_value, Acc<T>* grad_locations,
                                    Acc<T>* grad_weights, cudaStream_t stream);

int64_t ms_deform_attn_num_bins(const kernels::MsDeformAttnSizes& sizes,
                                const kernels::Level* levels);

/// Writes the bin of every point, laid out as the weights.
template <typename A>
cudaError_t ms_deform_attn_bins(const kernels::MsDeformAttnSizes& sizes,
                                const kernels::Level* levels, const A* locations, int32_t* bins,
                                cudaStream_t stream);

/// `mask` may be null.
template <typename T>
cudaError_t deform_columns_forward(const kernels::DeformColumnsSizes& sizes, const T* image,
                                   const T* offset, const T* mask, T* columns, cudaStream_t stream);

/// `mask` and `grad_mask` may both be null.
template <typename T>
cudaError_t deform_columns_backward(const kernels::DeformColumnsSizes& sizes,
                                    kernels::Border border, const T* grad_columns, const T* image,
                                    const T* offset, const T* mask,
                                    const ValueGradient<T>& grad_image, T* grad_offset,
                                    T* grad_mask, cudaStream_t stream);

int64_t deform_columns_num_bins(const kernels::DeformColumnsSizes& sizes);

/// Writes the bin of every point [positions, taps, offset_groups].
template <typename A>
cudaError_t deform_columns_bins(const kernels::DeformColumnsSizes& sizes, const A* offset,
                                int32_t* bins, cudaStream_t stream);

}  // namespace tessera::cuda
