#pragma once
// The opponents on a GPU: the operators as their papers' CUDA code formulates them, a thread for
// each channel (attention, after Deformable DETR) or column element (convolution, after
// torchvision), written plainly and by ourselves. Arrays as in core/ops/kernels/sizes.h, float32,
// device memory; gradients that atomics add to must be zero before.

#include <cuda_runtime_api.h>

#include "core/ops/kernels/sizes.h"

namespace tessera::bench {

/// Most levels of one call: they travel as a kernel argument.
constexpr int kMostLevels = 16;

struct LevelList {
  kernels::Level level[kMostLevels];
};

cudaError_t st_deform_attn_by_channels(const kernels::StDeformAttnSizes& sizes, const float* value,
                                       const float* locations, const float* weights, float* output,
                                       cudaStream_t stream);
/// Heads of at most 1024 channels.
cudaError_t st_deform_attn_by_channels_backward(const kernels::StDeformAttnSizes& sizes,
                                                const float* grad_output, const float* value,
                                                const float* locations, const float* weights,
                                                float* grad_value, float* grad_locations,
                                                float* grad_weights, cudaStream_t stream);

cudaError_t ms_deform_attn_by_channels(const kernels::MsDeformAttnSizes& sizes,
                                       const LevelList& levels, const float* value,
                                       const float* locations, const float* weights, float* output,
                                       cudaStream_t stream);
/// Heads of at most 1024 channels.
cudaError_t ms_deform_attn_by_channels_backward(const kernels::MsDeformAttnSizes& sizes,
                                                const LevelList& levels, const float* grad_output,
                                                const float* value, const float* locations,
                                                const float* weights, float* grad_value,
                                                float* grad_locations, float* grad_weights,
                                                cudaStream_t stream);

/// Without a mask.
cudaError_t columns_by_elements(const kernels::DeformColumnsSizes& sizes, const float* image,
                                const float* offset, float* columns, cudaStream_t stream);
cudaError_t columns_by_elements_backward(const kernels::DeformColumnsSizes& sizes,
                                         const float* grad_columns, const float* image,
                                         const float* offset, float* grad_image, float* grad_offset,
                                         cudaStream_t stream);

}  // namespace tessera::bench
