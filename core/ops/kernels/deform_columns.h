#pragma once
// CPU kernels of deformable convolution, for float and double: sampling an image into columns, of
// which the convolution is a matrix product, and the gradients of that. See DeformColumnsSizes for
// the arrays. As with the attention kernels, the caller splits the tasks over its threads, and any
// split gives the same bits.

#include <algorithm>

#include "core/ops/kernels/sampling_grid.h"
#include "core/ops/kernels/sizes.h"

namespace tessera::kernels {

/// Channels per task of deform_columns_backward_image: a cache line or more, never across groups.
constexpr int64_t kChannelBlock = 32;

/// Tasks of deform_columns_forward and of deform_columns_backward_offset: output positions.
inline int64_t num_column_positions(const DeformColumnsSizes& sizes) {
  return sizes.output_height * sizes.output_width;
}

/// Tasks of deform_columns_backward_image: blocks of channels.
inline int64_t num_channel_blocks(const DeformColumnsSizes& sizes) {
  const int64_t group_channels = sizes.channels / std::max<int64_t>(sizes.offset_groups, 1);
  return sizes.offset_groups * ((group_channels + kChannelBlock - 1) / kChannelBlock);
}

/// columns = mask * bilinear sample of image at tap position + offset.
void deform_columns_forward(const DeformColumnsSizes& sizes, const float* image,
                            const float* offset, const float* mask, float* columns, int64_t begin,
                            int64_t end);
void deform_columns_forward(const DeformColumnsSizes& sizes, const double* image,
                            const double* offset, const double* mask, double* columns,
                            int64_t begin, int64_t end);

/// Gradients with respect to offset and (where `mask` is not null) mask.
void deform_columns_backward_offset(const DeformColumnsSizes& sizes, Border border,
                                    const float* grad_columns, const float* image,
                                    const float* offset, const float* mask, float* grad_offset,
                                    float* grad_mask, int64_t begin, int64_t end);
void deform_columns_backward_offset(const DeformColumnsSizes& sizes, Border border,
                                    const double* grad_columns, const double* image,
                                    const double* offset, const double* mask, double* grad_offset,
                                    double* grad_mask, int64_t begin, int64_t end);

/// Gradient with respect to image, added to `grad_image`, which the caller has set to zero.
void deform_columns_backward_image(const DeformColumnsSizes& sizes, const float* grad_columns,
                                   const float* offset, const float* mask, float* grad_image,
                                   int64_t begin, int64_t end);
void deform_columns_backward_image(const DeformColumnsSizes& sizes, const double* grad_columns,
                                   const double* offset, const double* mask, double* grad_image,
                                   int64_t begin, int64_t end);

}  // namespace tessera::kernels
