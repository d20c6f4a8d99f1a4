#pragma once
// Where one tap of a deformable convolution samples; shared by the CPU and the CUDA kernels.

#include "core/ops/kernels/sampling_grid.h"
#include "core/ops/kernels/sizes.h"

namespace tessera::kernels {

/// Index into `offset` of dy; dx is `positions` further on.
TESSERA_KERNEL_INLINE int64_t tap_offset_index(const DeformColumnsSizes& s, int64_t group,
                                               int64_t tap, int64_t position) {
  const int64_t taps = s.kernel_height * s.kernel_width;
  return 2 * (group * taps + tap) * (s.output_height * s.output_width) + position;
}

template <typename T>
struct TapPixel {
  T x, y;
};

/// (x, y) where y is y * stride - padding + tap_y * dilation + dy, and the same for x.
template <typename T>
TESSERA_KERNEL_INLINE TapPixel<T> tap_pixel(const DeformColumnsSizes& s, const T* offset,
                                            int64_t group, int64_t tap, int64_t position) {
  const int64_t y =
      position / s.output_width * s.stride_y - s.padding_y + tap / s.kernel_width * s.dilation_y;
  const int64_t x =
      position % s.output_width * s.stride_x - s.padding_x + tap % s.kernel_width * s.dilation_x;
  const T* dy = offset + tap_offset_index(s, group, tap, position);
  const T* dx = dy + s.output_height * s.output_width;
  return {static_cast<T>(x) + *dx, static_cast<T>(y) + *dy};
}

/// The cells around a tap's pixel.
template <typename T>
TESSERA_KERNEL_INLINE PlaneCell<T> locate_tap(const DeformColumnsSizes& s, const T* offset,
                                              int64_t group, int64_t tap, int64_t position,
                                              Border border) {
  const TapPixel<T> pixel = tap_pixel(s, offset, group, tap, position);
  return locate_in_plane(pixel.x, pixel.y, s.height, s.width, border);
}

/// The modulation of a tap, 1 where there is no mask.
template <typename T>
TESSERA_KERNEL_INLINE T tap_mask(const DeformColumnsSizes& s, const T* mask, int64_t group,
                                 int64_t tap, int64_t position) {
  if (mask == nullptr) return T(1);
  const int64_t taps = s.kernel_height * s.kernel_width;
  return mask[(group * taps + tap) * (s.output_height * s.output_width) + position];
}

}  // namespace tessera::kernels
