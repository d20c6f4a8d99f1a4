// One thread per output element forward, one per sampling point backward: plain, not fast.

#include "core/ops/cuda/kernels.h"
#include "core/ops/cuda/launch.cuh"

namespace tessera::cuda {
namespace {

using kernels::AxisCell;
using kernels::PlaneCell;
using kernels::PlaneSample;
using kernels::StDeformAttnSizes;

template <typename T>
__device__ PlaneCell<T> plane_of(const StDeformAttnSizes& s, const T* location) {
  return kernels::locate_in_plane(kernels::to_pixel(location[0], s.width),
                                  kernels::to_pixel(location[1], s.height), s.height, s.width);
}

template <typename T>
__device__ AxisCell<T> frame_of(const StDeformAttnSizes& s, const T* location) {
  return kernels::locate(kernels::to_pixel(location[2], s.frames), s.frames);
}

template <typename T>
__global__ void forward_kernel(StDeformAttnSizes s, int64_t count, const T* value,
                               const T* locations, const T* weights, T* output) {
  const int64_t row_stride = s.heads * s.dim;
  const int64_t frame_stride = s.height * s.width * row_stride;
  for (int64_t i = first_item(); i < count; i += item_stride()) {  // i over [N, Q, M, D]
    const int64_t d = i % s.dim;
    const int64_t m = i / s.dim % s.heads;
    const int64_t n = i / s.dim / s.heads / s.queries;
    const T* channel = value + n * s.frames * frame_stride + m * s.dim + d;
    const int64_t first_point = i / s.dim * s.points;
    T sum = 0;
    for (int64_t k = first_point; k < first_point + s.points; ++k) {
      const PlaneCell<T> cell = plane_of(s, locations + 3 * k);
      const AxisCell<T> t = frame_of(s, locations + 3 * k);
      if (!cell.inside || !t.inside()) continue;
      const T* frame = channel + t.low * frame_stride;
      T sample = 0;
      if (t.has_low) sample += (T(1) - t.fraction) * sample_channel(frame, cell, row_stride);
      if (t.has_high) {
        sample += t.fraction * sample_channel(frame + frame_stride, cell, row_stride);
      }
      sum += weights[k] * sample;
    }
    output[i] = sum;
  }
}

template <typename T>
__global__ void backward_kernel(StDeformAttnSizes s, int64_t count, const T* grad_output,
                                const T* value, const T* locations, const T* weights, T* grad_value,
                                T* grad_locations, T* grad_weights) {
  const int64_t row_stride = s.heads * s.dim;
  const int64_t frame_stride = s.height * s.width * row_stride;
  for (int64_t k = first_item(); k < count; k += item_stride()) {  // k over [N, Q, M, K]
    const int64_t m = k / s.points % s.heads;
    const int64_t n = k / s.points / s.heads / s.queries;
    const T* grad_out = grad_output + k / s.points * s.dim;
    const PlaneCell<T> cell = plane_of(s, locations + 3 * k);
    const AxisCell<T> t = frame_of(s, locations + 3 * k);
    PlaneSample<T> low{}, high{};
    if (cell.inside && t.inside()) {
      const int64_t frame = n * s.frames * frame_stride + m * s.dim + t.low * frame_stride;
      T dots[4];
      if (t.has_low) {
        dot_rows(dots, value + frame, grad_out, cell, row_stride, s.dim);
        spread_rows(grad_value + frame, grad_out, cell, weights[k] * (T(1) - t.fraction),
                    row_stride, s.dim);
        low = kernels::interpolate(cell, dots);
      }
      if (t.has_high) {
        const int64_t next = frame + frame_stride;
        dot_rows(dots, value + next, grad_out, cell, row_stride, s.dim);
        spread_rows(grad_value + next, grad_out, cell, weights[k] * t.fraction, row_stride, s.dim);
        high = kernels::interpolate(cell, dots);
      }
    }
    const T f = t.fraction;
    grad_weights[k] = (T(1) - f) * low.value + f * high.value;
    grad_locations[3 * k] =
        weights[k] * ((T(1) - f) * low.slope_x + f * high.slope_x) * static_cast<T>(s.width);
    grad_locations[3 * k + 1] =
        weights[k] * ((T(1) - f) * low.slope_y + f * high.slope_y) * static_cast<T>(s.height);
    grad_locations[3 * k + 2] = weights[k] * (high.value - low.value) * static_cast<T>(s.frames);
  }
}

}  // namespace

template <typename T>
cudaError_t st_deform_attn_forward(const StDeformAttnSizes& sizes, const T* value,
                                   const T* locations, const T* weights, T* output,
                                   cudaStream_t stream) {
  const int64_t count = sizes.batch * sizes.queries * sizes.heads * sizes.dim;
  if (count == 0) return cudaSuccess;
  forward_kernel<T>
      <<<num_blocks(count), kThreads, 0, stream>>>(sizes, count, value, locations, weights, output);
  return cudaGetLastError();
}

template <typename T>
cudaError_t st_deform_attn_backward(const StDeformAttnSizes& sizes, const T* grad_output,
                                    const T* value, const T* locations, const T* weights,
                                    T* grad_value, T* grad_locations, T* grad_weights,
                                    cudaStream_t stream) {
  const int64_t count = sizes.batch * sizes.queries * sizes.heads * sizes.points;
  if (count == 0) return cudaSuccess;
  backward_kernel<T><<<num_blocks(count), kThreads, 0, stream>>>(sizes, count, grad_output, value,
                                                                 locations, weights, grad_value,
                                                                 grad_locations, grad_weights);
  return cudaGetLastError();
}

#define TESSERA_INSTANTIATE(T)                                                                  \
  template cudaError_t st_deform_attn_forward<T>(const StDeformAttnSizes&, const T*, const T*,  \
                                                 const T*, T*, cudaStream_t);                   \
  template cudaError_t st_deform_attn_backward<T>(const StDeformAttnSizes&, const T*, const T*, \
                                                  const T*, const T*, T*, T*, T*, cudaStream_t);
TESSERA_INSTANTIATE(float)
TESSERA_INSTANTIATE(double)

}  // namespace tessera::cuda
