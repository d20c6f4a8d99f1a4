#pragma once
// CPU kernels of deformable convolution, for float and double: sampling an image into columns, of
// which the convolution is a matrix product, and the gradients of that. See DeformColumnsSizes for
// the arrays; images are packed, see below. As with the attention kernels, the caller splits the
// output positions over its threads.

#include <algorithm>

#include "core/ops/kernels/packed_heads.h"
#include "core/ops/kernels/sampling_grid.h"
#include "core/ops/kernels/sizes.h"

namespace tessera::kernels {

/// Where the numbers of an image lie: element (channel, row) at channel * channel + row * row.
struct ImageStrides {
  int64_t channel, row;
};

/// Elements of a packed image [offset_groups, height * width + 1, whole lanes of a group's
/// channels], whose last row of each group is zero and stands for everything outside.
template <typename T>
int64_t packed_image_size(const DeformColumnsSizes& s) {
  return s.offset_groups * packed_head_size<T>(s.height * s.width, s.channels / s.offset_groups);
}

template <typename T>
void pack_image(const DeformColumnsSizes& sizes, const T* image, ImageStrides strides, T* packed);

/// The inverse of pack_image, for a gradient.
template <typename T>
void unpack_image(const DeformColumnsSizes& sizes, const T* packed, T* image, ImageStrides strides);

/// columns = mask * bilinear sample of the image at tap position + offset, for the output positions
/// `begin` to `end`: columns [end - begin, taps, channels], positions `column_size` numbers apart.
#define TESSERA_DEFORM_COLUMNS_KERNELS(T)                                                          \
  void deform_columns_forward(const DeformColumnsSizes& sizes, const T* packed, const T* offset,   \
                              const T* mask, T* columns, int64_t column_size, int64_t begin,       \
                              int64_t end);                                                        \
  /** Gradients of offset and (where `mask` is not null) mask at those positions. */               \
  void deform_columns_backward_offset(const DeformColumnsSizes& sizes, Border border,              \
                                      const T* grad_columns, int64_t column_size, const T* packed, \
                                      const T* offset, const T* mask, T* grad_offset,              \
                                      T* grad_mask, int64_t begin, int64_t end);                   \
  /** Adds the gradient of the image that comes from those positions to `grad_packed`. */          \
  void deform_columns_backward_image(const DeformColumnsSizes& sizes, const T* grad_columns,       \
                                     int64_t column_size, const T* offset, const T* mask,          \
                                     T* grad_packed, int64_t begin, int64_t end);

TESSERA_DEFORM_COLUMNS_KERNELS(float)
TESSERA_DEFORM_COLUMNS_KERNELS(double)
#undef TESSERA_DEFORM_COLUMNS_KERNELS

}  // namespace tessera::kernels
