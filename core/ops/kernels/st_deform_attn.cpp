#include <algorithm>

#include "core/ops/kernels/deform_attn.h"
#include "core/ops/kernels/simd.h"

namespace tessera::kernels {
namespace {

// A trilinear sample is two bilinear ones, in frames t.low and t.low + 1, blended by t.fraction.
template <typename T>
struct VolumeCell {
  PlaneCell<T> plane;
  AxisCell<T> t;
  bool inside;
};

template <typename T>
TESSERA_KERNEL_INLINE VolumeCell<T> locate_in_volume(const StDeformAttnSizes& s,
                                                     const T* location) {
  const PlaneCell<T> plane = locate_in_plane(to_pixel(location[0], s.width),
                                             to_pixel(location[1], s.height), s.height, s.width);
  const AxisCell<T> t = locate(to_pixel(location[2], s.frames), s.frames);
  return {plane, t, plane.inside && t.inside()};
}

template <typename T>
TESSERA_KERNEL_INLINE void forward(const StDeformAttnSizes& s, const T* value, const T* locations,
                                   const T* weights, T* output, int64_t begin, int64_t end) {
  const int64_t row_stride = s.heads * s.dim;
  const int64_t frame_stride = s.height * s.width * row_stride;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t q = task % s.queries;
    const int64_t m = task / s.queries % s.heads;
    const int64_t n = task / s.queries / s.heads;
    const T* head_value = value + n * s.frames * frame_stride + m * s.dim;
    const int64_t first_point = ((n * s.queries + q) * s.heads + m) * s.points;
    T* out = output + ((n * s.queries + q) * s.heads + m) * s.dim;
    std::fill_n(out, s.dim, T(0));
    for (int64_t k = first_point; k < first_point + s.points; ++k) {
      const VolumeCell<T> cell = locate_in_volume(s, locations + 3 * k);
      if (!cell.inside) continue;
      const T* frame = head_value + cell.t.low * frame_stride;
      if (cell.t.has_low) {
        const T scale = weights[k] * (T(1) - cell.t.fraction);
        add_sample(out, frame, cell.plane, scale, row_stride, s.dim);
      }
      if (cell.t.has_high) {
        const T scale = weights[k] * cell.t.fraction;
        add_sample(out, frame + frame_stride, cell.plane, scale, row_stride, s.dim);
      }
    }
  }
}

template <typename T>
TESSERA_KERNEL_INLINE void backward(const StDeformAttnSizes& s, const T* grad_output,
                                    const T* value, const T* locations, const T* weights,
                                    T* grad_value, T* grad_locations, T* grad_weights,
                                    int64_t begin, int64_t end) {
  const int64_t row_stride = s.heads * s.dim;
  const int64_t frame_stride = s.height * s.width * row_stride;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t m = task % s.heads;
    const int64_t n = task / s.heads;
    const int64_t head_offset = n * s.frames * frame_stride + m * s.dim;
    for (int64_t q = 0; q < s.queries; ++q) {
      const int64_t first_point = ((n * s.queries + q) * s.heads + m) * s.points;
      const T* grad_out = grad_output + ((n * s.queries + q) * s.heads + m) * s.dim;
      for (int64_t k = first_point; k < first_point + s.points; ++k) {
        const VolumeCell<T> cell = locate_in_volume(s, locations + 3 * k);
        PlaneSample<T> low{}, high{};
        if (cell.inside) {
          // The gradient of the sample is weight * grad_out, so every gradient of this point
          // follows from the dot products of grad_out with the eight rows around it.
          const int64_t frame = head_offset + cell.t.low * frame_stride;
          T dots[4];
          if (cell.t.has_low) {
            const T scale = weights[k] * (T(1) - cell.t.fraction);
            dot_rows(dots, value + frame, grad_out, cell.plane, row_stride, s.dim);
            spread_rows(grad_value + frame, grad_out, cell.plane, scale, row_stride, s.dim);
            low = interpolate(cell.plane, dots);
          }
          if (cell.t.has_high) {
            const int64_t next = frame + frame_stride;
            const T scale = weights[k] * cell.t.fraction;
            dot_rows(dots, value + next, grad_out, cell.plane, row_stride, s.dim);
            spread_rows(grad_value + next, grad_out, cell.plane, scale, row_stride, s.dim);
            high = interpolate(cell.plane, dots);
          }
        }
        const T t = cell.t.fraction;
        const T slope_x = (T(1) - t) * low.slope_x + t * high.slope_x;
        const T slope_y = (T(1) - t) * low.slope_y + t * high.slope_y;
        grad_weights[k] = (T(1) - t) * low.value + t * high.value;
        grad_locations[3 * k] = weights[k] * slope_x * static_cast<T>(s.width);
        grad_locations[3 * k + 1] = weights[k] * slope_y * static_cast<T>(s.height);
        grad_locations[3 * k + 2] =
            weights[k] * (high.value - low.value) * static_cast<T>(s.frames);
      }
    }
  }
}

}  // namespace

TESSERA_SIMD_CLONES
void st_deform_attn_forward(const StDeformAttnSizes& sizes, const float* value,
                            const float* locations, const float* weights, float* output,
                            int64_t begin, int64_t end) {
  forward(sizes, value, locations, weights, output, begin, end);
}

TESSERA_SIMD_CLONES
void st_deform_attn_forward(const StDeformAttnSizes& sizes, const double* value,
                            const double* locations, const double* weights, double* output,
                            int64_t begin, int64_t end) {
  forward(sizes, value, locations, weights, output, begin, end);
}

TESSERA_SIMD_CLONES
void st_deform_attn_backward(const StDeformAttnSizes& sizes, const float* grad_output,
                             const float* value, const float* locations, const float* weights,
                             float* grad_value, float* grad_locations, float* grad_weights,
                             int64_t begin, int64_t end) {
  backward(sizes, grad_output, value, locations, weights, grad_value, grad_locations, grad_weights,
           begin, end);
}

TESSERA_SIMD_CLONES
void st_deform_attn_backward(const StDeformAttnSizes& sizes, const double* grad_output,
                             const double* value, const double* locations, const double* weights,
                             double* grad_value, double* grad_locations, double* grad_weights,
                             int64_t begin, int64_t end) {
  backward(sizes, grad_output, value, locations, weights, grad_value, grad_locations, grad_weights,
           begin, end);
}

}  // namespace tessera::kernels
