// One thread per output element forward, one per sampling point backward: plain, not fast.

#include "core/ops/cuda/kernels.h"
#include "core/ops/cuda/launch.cuh"

namespace tessera::cuda {
namespace {

using kernels::Level;
using kernels::MsDeformAttnSizes;
using kernels::PlaneCell;
using kernels::PlaneSample;

template <typename T>
__device__ PlaneCell<T> locate_in_level(const Level& level, const T* location) {
  return kernels::locate_in_plane(kernels::to_pixel(location[0], level.width),
                                  kernels::to_pixel(location[1], level.height), level.height,
                                  level.width);
}

template <typename T>
__global__ void forward_kernel(MsDeformAttnSizes s, Levels levels, int64_t count, const T* value,
                               const T* locations, const T* weights, T* output) {
  const int64_t row_stride = s.heads * s.dim;
  for (int64_t i = first_item(); i < count; i += item_stride()) {  // i over [N, Q, M, D]
    const int64_t d = i % s.dim;
    const int64_t m = i / s.dim % s.heads;
    const int64_t n = i / s.dim / s.heads / s.queries;
    const T* channel = value + n * s.rows * row_stride + m * s.dim + d;
    int64_t k = i / s.dim * s.levels * s.points;
    T sum = 0;
    for (int64_t l = 0; l < s.levels; ++l) {
      const T* plane = channel + levels.level[l].first_row * row_stride;
      for (int64_t p = 0; p < s.points; ++p, ++k) {
        const PlaneCell<T> cell = locate_in_level(levels.level[l], locations + 2 * k);
        if (cell.inside) sum += weights[k] * sample_channel(plane, cell, row_stride);
      }
    }
    output[i] = sum;
  }
}

template <typename T>
__global__ void backward_kernel(MsDeformAttnSizes s, Levels levels, int64_t count,
                                const T* grad_output, const T* value, const T* locations,
                                const T* weights, T* grad_value, T* grad_locations,
                                T* grad_weights) {
  const int64_t row_stride = s.heads * s.dim;
  for (int64_t k = first_item(); k < count; k += item_stride()) {  // k over [N, Q, M, L, P]
    const int64_t query_head = k / s.points / s.levels;
    const int64_t m = query_head % s.heads;
    const int64_t n = query_head / s.heads / s.queries;
    const Level& level = levels.level[k / s.points % s.levels];
    const int64_t plane = (n * s.rows + level.first_row) * row_stride + m * s.dim;
    const T* grad_out = grad_output + query_head * s.dim;
    const PlaneCell<T> cell = locate_in_level(level, locations + 2 * k);
    PlaneSample<T> sample{};
    if (cell.inside) {
      T dots[4];
      dot_rows(dots, value + plane, grad_out, cell, row_stride, s.dim);
      spread_rows(grad_value + plane, grad_out, cell, weights[k], row_stride, s.dim);
      sample = kernels::interpolate(cell, dots);
    }
    grad_weights[k] = sample.value;
    grad_locations[2 * k] = weights[k] * sample.slope_x * static_cast<T>(level.width);
    grad_locations[2 * k + 1] = weights[k] * sample.slope_y * static_cast<T>(level.height);
  }
}

}  // namespace

template <typename T>
cudaError_t ms_deform_attn_forward(const MsDeformAttnSizes& sizes, const Levels& levels,
                                   const T* value, const T* locations, const T* weights, T* output,
                                   cudaStream_t stream) {
  const int64_t count = sizes.batch * sizes.queries * sizes.heads * sizes.dim;
  if (count == 0) return cudaSuccess;
  forward_kernel<T><<<num_blocks(count), kThreads, 0, stream>>>(sizes, levels, count, value,
                                                                locations, weights, output);
  return cudaGetLastError();
}

template <typename T>
cudaError_t ms_deform_attn_backward(const MsDeformAttnSizes& sizes, const Levels& levels,
                                    const T* grad_output, const T* value, const T* locations,
                                    const T* weights, T* grad_value, T* grad_locations,
                                    T* grad_weights, cudaStream_t stream) {
  const int64_t count = sizes.batch * sizes.queries * sizes.heads * sizes.levels * sizes.points;
  if (count == 0) return cudaSuccess;
  backward_kernel<T><<<num_blocks(count), kThreads, 0, stream>>>(
      sizes, levels, count, grad_output, value, locations, weights, grad_value, grad_locations,
      grad_weights);
  return cudaGetLastError();
}

#define TESSERA_INSTANTIATE(T)                                                                    \
  template cudaError_t ms_deform_attn_forward<T>(const MsDeformAttnSizes&, const Levels&,         \
                                                 const T*, const T*, const T*, T*, cudaStream_t); \
  template cudaError_t ms_deform_attn_backward<T>(const MsDeformAttnSizes&, const Levels&,        \
                                                  const T*, const T*, const T*, const T*, T*, T*, \
                                                  T*, cudaStream_t);
TESSERA_INSTANTIATE(float)
TESSERA_INSTANTIATE(double)

}  // namespace tessera::cuda
