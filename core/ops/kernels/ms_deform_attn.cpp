#include <algorithm>

#include "core/ops/kernels/deform_attn.h"
#include "core/ops/kernels/simd.h"

namespace tessera::kernels {
namespace {

template <typename T>
TESSERA_KERNEL_INLINE PlaneCell<T> locate_in_level(const Level& level, const T* location) {
  return locate_in_plane(to_pixel(location[0], level.width), to_pixel(location[1], level.height),
                         level.height, level.width);
}

template <typename T>
TESSERA_KERNEL_INLINE void forward(const MsDeformAttnSizes& s, const Level* levels, const T* value,
                                   const T* locations, const T* weights, T* output, int64_t begin,
                                   int64_t end) {
  const int64_t row_stride = s.heads * s.dim;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t q = task % s.queries;
    const int64_t m = task / s.queries % s.heads;
    const int64_t n = task / s.queries / s.heads;
    const T* head_value = value + n * s.rows * row_stride + m * s.dim;
    T* out = output + ((n * s.queries + q) * s.heads + m) * s.dim;
    std::fill_n(out, s.dim, T(0));
    int64_t k = ((n * s.queries + q) * s.heads + m) * s.levels * s.points;
    for (int64_t l = 0; l < s.levels; ++l) {
      const T* plane = head_value + levels[l].first_row * row_stride;
      for (int64_t p = 0; p < s.points; ++p, ++k) {
        const PlaneCell<T> cell = locate_in_level(levels[l], locations + 2 * k);
        if (cell.inside) add_sample(out, plane, cell, weights[k], row_stride, s.dim);
      }
    }
  }
}

template <typename T>
TESSERA_KERNEL_INLINE void backward(const MsDeformAttnSizes& s, const Level* levels,
                                    const T* grad_output, const T* value, const T* locations,
                                    const T* weights, T* grad_value, T* grad_locations,
                                    T* grad_weights, int64_t begin, int64_t end) {
  const int64_t row_stride = s.heads * s.dim;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t m = task % s.heads;
    const int64_t n = task / s.heads;
    const int64_t head_offset = n * s.rows * row_stride + m * s.dim;
    for (int64_t q = 0; q < s.queries; ++q) {
      const T* grad_out = grad_output + ((n * s.queries + q) * s.heads + m) * s.dim;
      int64_t k = ((n * s.queries + q) * s.heads + m) * s.levels * s.points;
      for (int64_t l = 0; l < s.levels; ++l) {
        const int64_t plane = head_offset + levels[l].first_row * row_stride;
        for (int64_t p = 0; p < s.points; ++p, ++k) {
          const PlaneCell<T> cell = locate_in_level(levels[l], locations + 2 * k);
          PlaneSample<T> sample{};
          if (cell.inside) {
            T dots[4];
            dot_rows(dots, value + plane, grad_out, cell, row_stride, s.dim);
            spread_rows(grad_value + plane, grad_out, cell, weights[k], row_stride, s.dim);
            sample = interpolate(cell, dots);
          }
          grad_weights[k] = sample.value;
          grad_locations[2 * k] = weights[k] * sample.slope_x * static_cast<T>(levels[l].width);
          grad_locations[2 * k + 1] =
              weights[k] * sample.slope_y * static_cast<T>(levels[l].height);
        }
      }
    }
  }
}

}  // namespace

TESSERA_SIMD_CLONES
void ms_deform_attn_forward(const MsDeformAttnSizes& sizes, const Level* levels, const float* value,
                            const float* locations, const float* weights, float* output,
                            int64_t begin, int64_t end) {
  forward(sizes, levels, value, locations, weights, output, begin, end);
}

TESSERA_SIMD_CLONES
void ms_deform_attn_forward(const MsDeformAttnSizes& sizes, const Level* levels,
                            const double* value, const double* locations, const double* weights,
                            double* output, int64_t begin, int64_t end) {
  forward(sizes, levels, value, locations, weights, output, begin, end);
}

TESSERA_SIMD_CLONES
void ms_deform_attn_backward(const MsDeformAttnSizes& sizes, const Level* levels,
                             const float* grad_output, const float* value, const float* locations,
                             const float* weights, float* grad_value, float* grad_locations,
                             float* grad_weights, int64_t begin, int64_t end) {
  backward(sizes, levels, grad_output, value, locations, weights, grad_value, grad_locations,
           grad_weights, begin, end);
}

TESSERA_SIMD_CLONES
void ms_deform_attn_backward(const MsDeformAttnSizes& sizes, const Level* levels,
                             const double* grad_output, const double* value,
                             const double* locations, const double* weights, double* grad_value,
                             double* grad_locations, double* grad_weights, int64_t begin,
                             int64_t end) {
  backward(sizes, levels, grad_output, value, locations, weights, grad_value, grad_locations,
           grad_weights, begin, end);
}

}  // namespace tessera::kernels
