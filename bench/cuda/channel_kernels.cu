#include "bench/cuda/channel_kernels.h"

#include "core/ops/kernels/sampling_grid.h"
#include "core/ops/kernels/tap.h"

namespace tessera::bench {
namespace {

using kernels::AxisCell;
using kernels::Border;
using kernels::DeformColumnsSizes;
using kernels::MsDeformAttnSizes;
using kernels::PlaneCell;
using kernels::PlaneSample;
using kernels::StDeformAttnSizes;

constexpr int kThreads = 256;
constexpr int kMostChannels = 1024;

unsigned num_blocks(int64_t count) {
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < 1048576 ? blocks : 1048576);
}

__device__ int64_t first_item() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ int64_t item_stride() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

// One channel at a cell.
__device__ float sample(const float* plane, const PlaneCell<float>& cell, int64_t row_stride) {
  float sum = 0;
  for (int c = 0; c < 4; ++c) {
    if (cell.row[c] >= 0) sum += cell.weight[c] * plane[cell.row[c] * row_stride];
  }
  return sum;
}

// One channel's share of a sample's value and slopes; adds to its share of the plane's gradient.
__device__ PlaneSample<float> add_gradients(const float* plane, float* grad_plane,
                                            const PlaneCell<float>& cell, int64_t row_stride,
                                            float grad, float weight) {
  float numbers[4] = {};
  for (int c = 0; c < 4; ++c) {
    if (cell.row[c] < 0) continue;
    numbers[c] = plane[cell.row[c] * row_stride] * grad;
    atomicAdd(grad_plane + cell.row[c] * row_stride, weight * cell.weight[c] * grad);
  }
  return kernels::interpolate(cell, numbers);
}

// The sum of a number over a block's threads, to thread 0.
__device__ float sum_of_block(float* shared, float number) {
  shared[threadIdx.x] = number;
  __syncthreads();
  for (unsigned count = blockDim.x; count > 1;) {
    const unsigned half = (count + 1) / 2;
    if (threadIdx.x + half < count) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
    count = half;
  }
  const float sum = shared[0];
  __syncthreads();
  return sum;
}

__device__ PlaneCell<float> st_plane(const StDeformAttnSizes& s, const float* at) {
  return kernels::locate_in_plane(kernels::to_pixel(at[0], s.width),
                                  kernels::to_pixel(at[1], s.height), s.height, s.width);
}

__device__ PlaneCell<float> ms_plane(const kernels::Level& level, const float* at) {
  return kernels::locate_in_plane(kernels::to_pixel(at[0], level.width),
                                  kernels::to_pixel(at[1], level.height), level.height,
                                  level.width);
}

__global__ void st_forward(StDeformAttnSizes s, int64_t count, const float* value,
                           const float* locations, const float* weights, float* output) {
  const int64_t row_stride = s.heads * s.dim, frame_stride = s.height * s.width * row_stride;
  for (int64_t i = first_item(); i < count; i += item_stride()) {  // i over [N, Q, M, D]
    const int64_t slot = i / s.dim, n = slot / s.heads / s.queries;
    const float* channel = value + n * s.frames * frame_stride + slot % s.heads * s.dim + i % s.dim;
    float sum = 0;
    for (int64_t k = slot * s.points; k < (slot + 1) * s.points; ++k) {
      const PlaneCell<float> cell = st_plane(s, locations + 3 * k);
      const AxisCell<float> t =
          kernels::locate(kernels::to_pixel(locations[3 * k + 2], s.frames), s.frames);
      if (!cell.inside || !t.inside()) continue;
      const float* frame = channel + t.low * frame_stride;
      float both = 0;
      if (t.has_low) both += (1 - t.fraction) * sample(frame, cell, row_stride);
      if (t.has_high) both += t.fraction * sample(frame + frame_stride, cell, row_stride);
      sum += weights[k] * both;
    }
    output[i] = sum;
  }
}

__global__ void ms_forward(MsDeformAttnSizes s, LevelList levels, int64_t count, const float* value,
                           const float* locations, const float* weights, float* output) {
  const int64_t row_stride = s.heads * s.dim;
  for (int64_t i = first_item(); i < count; i += item_stride()) {  // i over [N, Q, M, D]
    const int64_t slot = i / s.dim, n = slot / s.heads / s.queries;
    const float* channel = value + n * s.rows * row_stride + slot % s.heads * s.dim + i % s.dim;
    int64_t k = slot * s.levels * s.points;
    float sum = 0;
    for (int64_t l = 0; l < s.levels; ++l) {
      const float* plane = channel + levels.level[l].first_row * row_stride;
      for (int64_t p = 0; p < s.points; ++p, ++k) {
        const PlaneCell<float> cell = ms_plane(levels.level[l], locations + 2 * k);
        if (cell.inside) sum += weights[k] * sample(plane, cell, row_stride);
      }
    }
    output[i] = sum;
  }
}

// A block is a slot, a thread one of its channels.
__global__ void st_backward(StDeformAttnSizes s, int64_t slots, const float* grad_output,
                            const float* value, const float* locations, const float* weights,
                            float* grad_value, float* grad_locations, float* grad_weights) {
  __shared__ float shared[kMostChannels];
  const int64_t row_stride = s.heads * s.dim, frame_stride = s.height * s.width * row_stride;
  for (int64_t slot = blockIdx.x; slot < slots; slot += gridDim.x) {
    const float grad = grad_output[slot * s.dim + threadIdx.x];
    const int64_t head =
        slot / s.heads / s.queries * s.frames * frame_stride + slot % s.heads * s.dim + threadIdx.x;
    for (int64_t k = slot * s.points; k < (slot + 1) * s.points; ++k) {
      const PlaneCell<float> cell = st_plane(s, locations + 3 * k);
      const AxisCell<float> t =
          kernels::locate(kernels::to_pixel(locations[3 * k + 2], s.frames), s.frames);
      const float weight = weights[k], f = t.fraction;
      PlaneSample<float> low{}, high{};
      if (cell.inside && t.has_low) {
        const int64_t plane = head + t.low * frame_stride;
        low = add_gradients(value + plane, grad_value + plane, cell, row_stride, grad,
                            weight * (1 - f));
      }
      if (cell.inside && t.has_high) {
        const int64_t plane = head + (t.low + 1) * frame_stride;
        high = add_gradients(value + plane, grad_value + plane, cell, row_stride, grad, weight * f);
      }
      const float value_sum = sum_of_block(shared, (1 - f) * low.value + f * high.value);
      const float x = sum_of_block(shared, (1 - f) * low.slope_x + f * high.slope_x);
      const float y = sum_of_block(shared, (1 - f) * low.slope_y + f * high.slope_y);
      const float time = sum_of_block(shared, high.value - low.value);
      if (threadIdx.x != 0) continue;
      grad_weights[k] = value_sum;
      grad_locations[3 * k] = weight * x * static_cast<float>(s.width);
      grad_locations[3 * k + 1] = weight * y * static_cast<float>(s.height);
      grad_locations[3 * k + 2] = weight * time * static_cast<float>(s.frames);
    }
  }
}

__global__ void ms_backward(MsDeformAttnSizes s, LevelList levels, int64_t slots,
                            const float* grad_output, const float* value, const float* locations,
                            const float* weights, float* grad_value, float* grad_locations,
                            float* grad_weights) {
  __shared__ float shared[kMostChannels];
  const int64_t row_stride = s.heads * s.dim;
  for (int64_t slot = blockIdx.x; slot < slots; slot += gridDim.x) {
    const float grad = grad_output[slot * s.dim + threadIdx.x];
    const int64_t head =
        slot / s.heads / s.queries * s.rows * row_stride + slot % s.heads * s.dim + threadIdx.x;
    for (int64_t k = slot * s.levels * s.points; k < (slot + 1) * s.levels * s.points; ++k) {
      const kernels::Level& level = levels.level[k / s.points % s.levels];
      const PlaneCell<float> cell = ms_plane(level, locations + 2 * k);
      PlaneSample<float> own{};
      if (cell.inside) {
        const int64_t plane = head + level.first_row * row_stride;
        own = add_gradients(value + plane, grad_value + plane, cell, row_stride, grad, weights[k]);
      }
      const float value_sum = sum_of_block(shared, own.value);
      const float x = sum_of_block(shared, own.slope_x);
      const float y = sum_of_block(shared, own.slope_y);
      if (threadIdx.x != 0) continue;
      grad_weights[k] = value_sum;
      grad_locations[2 * k] = weights[k] * x * static_cast<float>(level.width);
      grad_locations[2 * k + 1] = weights[k] * y * static_cast<float>(level.height);
    }
  }
}

// i over [P, taps, C]
__global__ void columns_forward(DeformColumnsSizes s, int64_t count, const float* image,
                                const float* offset, float* columns) {
  const int64_t taps = s.kernel_height * s.kernel_width;
  for (int64_t i = first_item(); i < count; i += item_stride()) {
    const int64_t channel = i % s.channels, tap = i / s.channels % taps;
    const int64_t position = i / s.channels / taps;
    const int64_t group = channel / (s.channels / s.offset_groups);
    const auto cell = kernels::locate_tap(s, offset, group, tap, position, Border::kNoGradient);
    columns[i] = cell.inside ? sample(image + channel, cell, s.channels) : 0;
  }
}

__global__ void columns_backward_image(DeformColumnsSizes s, int64_t count,
                                       const float* grad_columns, const float* offset,
                                       float* grad_image) {
  const int64_t taps = s.kernel_height * s.kernel_width;
  for (int64_t i = first_item(); i < count; i += item_stride()) {
    const int64_t channel = i % s.channels, tap = i / s.channels % taps;
    const int64_t position = i / s.channels / taps;
    const int64_t group = channel / (s.channels / s.offset_groups);
    const auto cell = kernels::locate_tap(s, offset, group, tap, position, Border::kNoGradient);
    for (int c = 0; c < 4; ++c) {
      if (!cell.inside || cell.row[c] < 0) continue;
      atomicAdd(grad_image + cell.row[c] * s.channels + channel, cell.weight[c] * grad_columns[i]);
    }
  }
}

// i over [G, taps, P]
__global__ void columns_backward_offset(DeformColumnsSizes s, int64_t count,
                                        const float* grad_columns, const float* image,
                                        const float* offset, float* grad_offset) {
  const int64_t positions = s.output_height * s.output_width;
  const int64_t taps = s.kernel_height * s.kernel_width, dim = s.channels / s.offset_groups;
  for (int64_t i = first_item(); i < count; i += item_stride()) {
    const int64_t position = i % positions, tap = i / positions % taps,
                  group = i / positions / taps;
    const auto cell = kernels::locate_tap(s, offset, group, tap, position, Border::kNoGradient);
    const float* grad = grad_columns + (position * taps + tap) * s.channels + group * dim;
    float dots[4] = {};
    for (int c = 0; c < 4; ++c) {
      if (!cell.inside || cell.row[c] < 0) continue;
      const float* row = image + cell.row[c] * s.channels + group * dim;
      for (int64_t d = 0; d < dim; ++d) dots[c] += row[d] * grad[d];
    }
    const auto own = kernels::interpolate(cell, dots);
    const int64_t dy = kernels::tap_offset_index(s, group, tap, position);
    grad_offset[dy] = own.slope_y;
    grad_offset[dy + positions] = own.slope_x;
  }
}

int64_t slots_of_columns(const DeformColumnsSizes& s) {
  return s.output_height * s.output_width * s.kernel_height * s.kernel_width;
}

unsigned slot_blocks(int64_t slots) {
  return static_cast<unsigned>(slots < 1048576 ? slots : 1048576);
}

}  // namespace

cudaError_t st_deform_attn_by_channels(const StDeformAttnSizes& s, const float* value,
                                       const float* locations, const float* weights, float* output,
                                       cudaStream_t stream) {
  const int64_t count = s.batch * s.queries * s.heads * s.dim;
  st_forward<<<num_blocks(count), kThreads, 0, stream>>>(s, count, value, locations, weights,
                                                         output);
  return cudaGetLastError();
}

cudaError_t st_deform_attn_by_channels_backward(const StDeformAttnSizes& s,
                                                const float* grad_output, const float* value,
                                                const float* locations, const float* weights,
                                                float* grad_value, float* grad_locations,
                                                float* grad_weights, cudaStream_t stream) {
  const int64_t slots = s.batch * s.queries * s.heads;
  st_backward<<<slot_blocks(slots), static_cast<unsigned>(s.dim), 0, stream>>>(
      s, slots, grad_output, value, locations, weights, grad_value, grad_locations, grad_weights);
  return cudaGetLastError();
}

cudaError_t ms_deform_attn_by_channels(const MsDeformAttnSizes& s, const LevelList& levels,
                                       const float* value, const float* locations,
                                       const float* weights, float* output, cudaStream_t stream) {
  const int64_t count = s.batch * s.queries * s.heads * s.dim;
  ms_forward<<<num_blocks(count), kThreads, 0, stream>>>(s, levels, count, value, locations,
                                                         weights, output);
  return cudaGetLastError();
}

cudaError_t ms_deform_attn_by_channels_backward(const MsDeformAttnSizes& s, const LevelList& levels,
                                                const float* grad_output, const float* value,
                                                const float* locations, const float* weights,
                                                float* grad_value, float* grad_locations,
                                                float* grad_weights, cudaStream_t stream) {
  const int64_t slots = s.batch * s.queries * s.heads;
  ms_backward<<<slot_blocks(slots), static_cast<unsigned>(s.dim), 0, stream>>>(
      s, levels, slots, grad_output, value, locations, weights, grad_value, grad_locations,
      grad_weights);
  return cudaGetLastError();
}

cudaError_t columns_by_elements(const DeformColumnsSizes& s, const float* image,
                                const float* offset, float* columns, cudaStream_t stream) {
  const int64_t count = slots_of_columns(s) * s.channels;
  columns_forward<<<num_blocks(count), kThreads, 0, stream>>>(s, count, image, offset, columns);
  return cudaGetLastError();
}

cudaError_t columns_by_elements_backward(const DeformColumnsSizes& s, const float* grad_columns,
                                         const float* image, const float* offset, float* grad_image,
                                         float* grad_offset, cudaStream_t stream) {
  const int64_t count = slots_of_columns(s) * s.channels;
  columns_backward_image<<<num_blocks(count), kThreads, 0, stream>>>(s, count, grad_columns, offset,
                                                                     grad_image);
  const int64_t taps = slots_of_columns(s) * s.offset_groups;
  columns_backward_offset<<<num_blocks(taps), kThreads, 0, stream>>>(s, taps, grad_columns, image,
                                                                     offset, grad_offset);
  return cudaGetLastError();
}

}  // namespace tessera::bench
