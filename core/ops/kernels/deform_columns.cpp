#include "core/ops/kernels/deform_columns.h"

#include "core/ops/kernels/simd.h"
#include "core/ops/kernels/tap.h"

namespace tessera::kernels {
namespace {

template <typename T>
TESSERA_KERNEL_INLINE void forward(const DeformColumnsSizes& s, const T* image, const T* offset,
                                   const T* mask, T* columns, int64_t begin, int64_t end) {
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t group_channels = s.channels / s.offset_groups;
  for (int64_t position = begin; position < end; ++position) {
    T* column = columns + position * taps * s.channels;
    std::fill_n(column, taps * s.channels, T(0));
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t g = 0; g < s.offset_groups; ++g) {
        const PlaneCell<T> cell = locate_tap(s, offset, g, tap, position, Border::kNoGradient);
        if (!cell.inside) continue;
        add_sample(column + tap * s.channels + g * group_channels, image + g * group_channels, cell,
                   tap_mask(s, mask, g, tap, position), s.channels, group_channels);
      }
    }
  }
}

template <typename T>
TESSERA_KERNEL_INLINE void backward_offset(const DeformColumnsSizes& s, Border border,
                                           const T* grad_columns, const T* image, const T* offset,
                                           const T* mask, T* grad_offset, T* grad_mask,
                                           int64_t begin, int64_t end) {
  const int64_t positions = num_column_positions(s);
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t group_channels = s.channels / s.offset_groups;
  for (int64_t position = begin; position < end; ++position) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t g = 0; g < s.offset_groups; ++g) {
        const PlaneCell<T> cell = locate_tap(s, offset, g, tap, position, border);
        PlaneSample<T> sample{};
        if (cell.inside) {
          const int64_t channel = g * group_channels;
          T dots[4];
          dot_rows(dots, image + channel,
                   grad_columns + (position * taps + tap) * s.channels + channel, cell, s.channels,
                   group_channels);
          sample = interpolate(cell, dots);
        }
        const T scale = tap_mask(s, mask, g, tap, position);
        const int64_t index = (g * taps + tap) * positions + position;
        grad_offset[tap_offset_index(s, g, tap, position)] = scale * sample.slope_y;
        grad_offset[tap_offset_index(s, g, tap, position) + positions] = scale * sample.slope_x;
        if (mask != nullptr) grad_mask[index] = sample.value;
      }
    }
  }
}

template <typename T>
TESSERA_KERNEL_INLINE void backward_image(const DeformColumnsSizes& s, const T* grad_columns,
                                          const T* offset, const T* mask, T* grad_image,
                                          int64_t begin, int64_t end) {
  const int64_t positions = num_column_positions(s);
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t group_channels = s.channels / s.offset_groups;
  const int64_t group_blocks = num_channel_blocks(s) / s.offset_groups;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t g = task / group_blocks;
    const int64_t first = task % group_blocks * kChannelBlock;
    const int64_t dim = std::min(kChannelBlock, group_channels - first);
    const int64_t channel = g * group_channels + first;
    for (int64_t position = 0; position < positions; ++position) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        const PlaneCell<T> cell = locate_tap(s, offset, g, tap, position, Border::kNoGradient);
        if (!cell.inside) continue;
        spread_rows(grad_image + channel,
                    grad_columns + (position * taps + tap) * s.channels + channel, cell,
                    tap_mask(s, mask, g, tap, position), s.channels, dim);
      }
    }
  }
}

}  // namespace

TESSERA_SIMD_CLONES
void deform_columns_forward(const DeformColumnsSizes& sizes, const float* image,
                            const float* offset, const float* mask, float* columns, int64_t begin,
                            int64_t end) {
  forward(sizes, image, offset, mask, columns, begin, end);
}

TESSERA_SIMD_CLONES
void deform_columns_forward(const DeformColumnsSizes& sizes, const double* image,
                            const double* offset, const double* mask, double* columns,
                            int64_t begin, int64_t end) {
  forward(sizes, image, offset, mask, columns, begin, end);
}

TESSERA_SIMD_CLONES
void deform_columns_backward_offset(const DeformColumnsSizes& sizes, Border border,
                                    const float* grad_columns, const float* image,
                                    const float* offset, const float* mask, float* grad_offset,
                                    float* grad_mask, int64_t begin, int64_t end) {
  backward_offset(sizes, border, grad_columns, image, offset, mask, grad_offset, grad_mask, begin,
                  end);
}

TESSERA_SIMD_CLONES
void deform_columns_backward_offset(const DeformColumnsSizes& sizes, Border border,
                                    const double* grad_columns, const double* image,
                                    const double* offset, const double* mask, double* grad_offset,
                                    double* grad_mask, int64_t begin, int64_t end) {
  backward_offset(sizes, border, grad_columns, image, offset, mask, grad_offset, grad_mask, begin,
                  end);
}

TESSERA_SIMD_CLONES
void deform_columns_backward_image(const DeformColumnsSizes& sizes, const float* grad_columns,
                                   const float* offset, const float* mask, float* grad_image,
                                   int64_t begin, int64_t end) {
  backward_image(sizes, grad_columns, offset, mask, grad_image, begin, end);
}

TESSERA_SIMD_CLONES
void deform_columns_backward_image(const DeformColumnsSizes& sizes, const double* grad_columns,
                                   const double* offset, const double* mask, double* grad_image,
                                   int64_t begin, int64_t end) {
  backward_image(sizes, grad_columns, offset, mask, grad_image, begin, end);
}

}  // namespace tessera::kernels
