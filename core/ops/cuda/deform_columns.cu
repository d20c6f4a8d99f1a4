// One thread per column element forward, one per tap of an offset group backward: plain, not fast.

#include "core/ops/cuda/kernels.h"
#include "core/ops/cuda/launch.cuh"
#include "core/ops/kernels/tap.h"

namespace tessera::cuda {
namespace {

using kernels::Border;
using kernels::DeformColumnsSizes;
using kernels::PlaneCell;
using kernels::PlaneSample;

template <typename T>
__global__ void forward_kernel(DeformColumnsSizes s, int64_t count, const T* image, const T* offset,
                               const T* mask, T* columns) {
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t group_channels = s.channels / s.offset_groups;
  for (int64_t i = first_item(); i < count; i += item_stride()) {  // i over [P, taps, C]
    const int64_t channel = i % s.channels;
    const int64_t tap = i / s.channels % taps;
    const int64_t position = i / s.channels / taps;
    const int64_t group = channel / group_channels;
    const PlaneCell<T> cell =
        kernels::locate_tap(s, offset, group, tap, position, Border::kNoGradient);
    columns[i] = cell.inside ? kernels::tap_mask(s, mask, group, tap, position) *
                                   sample_channel(image + channel, cell, s.channels)
                             : T(0);
  }
}

template <typename T>
__global__ void backward_kernel(DeformColumnsSizes s, Border border, int64_t count,
                                const T* grad_columns, const T* image, const T* offset,
                                const T* mask, T* grad_image, T* grad_offset, T* grad_mask) {
  const int64_t positions = s.output_height * s.output_width;
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t group_channels = s.channels / s.offset_groups;
  for (int64_t i = first_item(); i < count; i += item_stride()) {  // i over [G, taps, P]
    const int64_t position = i % positions;
    const int64_t tap = i / positions % taps;
    const int64_t group = i / positions / taps;
    const int64_t channel = group * group_channels;
    const PlaneCell<T> cell = kernels::locate_tap(s, offset, group, tap, position, border);
    const T scale = kernels::tap_mask(s, mask, group, tap, position);
    PlaneSample<T> sample{};
    if (cell.inside) {
      const T* grad = grad_columns + (position * taps + tap) * s.channels + channel;
      T dots[4];
      dot_rows(dots, image + channel, grad, cell, s.channels, group_channels);
      spread_rows(grad_image + channel, grad, cell, scale, s.channels, group_channels);
      sample = kernels::interpolate(cell, dots);
    }
    const int64_t dy = kernels::tap_offset_index(s, group, tap, position);
    grad_offset[dy] = scale * sample.slope_y;
    grad_offset[dy + positions] = scale * sample.slope_x;
    if (mask != nullptr) grad_mask[i] = sample.value;
  }
}

}  // namespace

template <typename T>
cudaError_t deform_columns_forward(const DeformColumnsSizes& sizes, const T* image, const T* offset,
                                   const T* mask, T* columns, cudaStream_t stream) {
  const int64_t count = sizes.output_height * sizes.output_width * sizes.kernel_height *
                        sizes.kernel_width * sizes.channels;
  if (count == 0) return cudaSuccess;
  forward_kernel<T>
      <<<num_blocks(count), kThreads, 0, stream>>>(sizes, count, image, offset, mask, columns);
  return cudaGetLastError();
}

template <typename T>
cudaError_t deform_columns_backward(const DeformColumnsSizes& sizes, Border border,
                                    const T* grad_columns, const T* image, const T* offset,
                                    const T* mask, T* grad_image, T* grad_offset, T* grad_mask,
                                    cudaStream_t stream) {
  const int64_t count = sizes.output_height * sizes.output_width * sizes.kernel_height *
                        sizes.kernel_width * sizes.offset_groups;
  if (count == 0) return cudaSuccess;
  backward_kernel<T><<<num_blocks(count), kThreads, 0, stream>>>(
      sizes, border, count, grad_columns, image, offset, mask, grad_image, grad_offset, grad_mask);
  return cudaGetLastError();
}

#define TESSERA_INSTANTIATE(T)                                                                  \
  template cudaError_t deform_columns_forward<T>(const DeformColumnsSizes&, const T*, const T*, \
                                                 const T*, T*, cudaStream_t);                   \
  template cudaError_t deform_columns_backward<T>(const DeformColumnsSizes&, Border, const T*,  \
                                                  const T*, const T*, const T*, T*, T*, T*,     \
                                                  cudaStream_t);
TESSERA_INSTANTIATE(float)
TESSERA_INSTANTIATE(double)

}  // namespace tessera::cuda
