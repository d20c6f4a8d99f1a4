#pragma once
// Backward: gradients of points, and of values by atomic additions. A group of lanes takes a slot;
// each lane locates one of its points into shared memory, then the group goes through them, every
// lane with its own vectors of channels. A point's gradients are sums over channels: lanes add up
// by shuffles, and one lane writes each number, so those are the same bits in every run. Where
// `grad_value` is null, gather_rows.cuh makes that gradient, the same bits in every run as well.

#include "core/ops/cuda/geometry.cuh"
#include "core/ops/cuda/launch.cuh"
#include "core/ops/cuda/vector.cuh"

namespace tessera::cuda {

constexpr int kWarp = 32;
constexpr int kScatterWarps = 4;
constexpr int kScatterBlocks = 2;  // of a multiprocessor at least: 255 registers a thread
constexpr unsigned kAllLanes = 0xffffffffu;

template <typename A, int kAxes>
struct alignas(16) ScatterPoint {
  Corners<A, kAxes> corners;
  A fraction[kAxes];
  A slope_scale[kAxes];  // of a slope per cell to the gradient of the location
};

/// Sums of four numbers over a group of `lanes` lanes: lane l of it gets that of number l % 4. The
/// first two steps halve what a lane carries, so this takes log2(lanes) + 1 shuffles, not four
/// times as many as one number would.
template <typename A>
__device__ __forceinline__ A add_up(const A (&numbers)[4], int lanes) {
  const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
  const A low = (odd ? numbers[1] : numbers[0]) +
                __shfl_xor_sync(kAllLanes, odd ? numbers[0] : numbers[1], 1);
  const A high = (odd ? numbers[3] : numbers[2]) +
                 __shfl_xor_sync(kAllLanes, odd ? numbers[2] : numbers[3], 1);
  A sum = (upper ? high : low) + __shfl_xor_sync(kAllLanes, upper ? low : high, 2);
  for (int step = 4; step < lanes; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  return sum;
}

/// `lanes` is a power of two, 4 .. 32. A lane takes `kVectors` vectors, `lanes` apart; where that
/// does not cover `dim`, the group goes over its points again.
template <typename T, int V, int kVectors, typename Geometry>
__global__ void __launch_bounds__(kScatterWarps* kWarp, kScatterBlocks)
    scatter_kernel(Geometry geometry, int lanes, const T* __restrict__ grad_output,
                   const T* __restrict__ value, Acc<T>* __restrict__ grad_value,
                   Acc<T>* __restrict__ grad_slopes, Acc<T>* __restrict__ grad_weights) {
  using A = Acc<T>;
  constexpr int kAxes = Geometry::kAxes;
  constexpr int kCorners = 1 << kAxes;
  __shared__ ScatterPoint<A, kAxes> located[kScatterWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int own = static_cast<int>(threadIdx.x) % kWarp;
  const int lane = own % lanes, group = own / lanes, groups = kWarp / lanes;
  const int64_t tasks = geometry.tasks(), points = geometry.points();
  const int64_t row_stride = geometry.row_stride();
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kScatterWarps * groups;
  for (int64_t first = (static_cast<int64_t>(blockIdx.x) * kScatterWarps + warp) * groups;
       first < tasks; first += stride) {
    const bool there = first + group < tasks;  // else this group only keeps the others company
    const int64_t slot = there ? geometry.slot_of(first + group) : 0;
    const int64_t head = geometry.head_offset(geometry.head_of(slot));
    for (int64_t channels = 0; channels < geometry.dim; channels += lanes * kVectors * V) {
      bool busy[kVectors];
      A grad[kVectors][V];
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const int64_t channel = channels + (v * lanes + lane) * V;
        busy[v] = there && channel < geometry.dim;
        const auto numbers = load<V>(grad_output + slot * geometry.dim + channel, busy[v]);
#pragma unroll
        for (int i = 0; i < V; ++i) grad[v][i] = widen(numbers.at[i]);
      }
      for (int64_t start = 0; start < points; start += lanes) {
        __syncwarp();  // the points before are used up
        if (there && start + lane < points) {
          ScatterPoint<A, kAxes>& to = located[warp][own];
          const int64_t point = start + lane;
          const auto& grid = geometry.grid(point);
          const auto place = geometry.place(slot, point, grid);
          const A weight = geometry.weight(slot, point);
          to.corners = corners_of(place, grid, weight);
#pragma unroll
          for (int a = 0; a < kAxes; ++a) {
            to.fraction[a] = place.axis[a].fraction;
            to.slope_scale[a] = weight * geometry.cells_per_unit(grid, a);
          }
        }
        __syncwarp();
        const int count = static_cast<int>(points - start < lanes ? points - start : lanes);
        for (int k = 0; k < count; ++k) {
          const ScatterPoint<A, kAxes>& point = located[warp][group * lanes + k];
          A dots[kCorners] = {};
          if (there) {
            const Corners<A, kAxes> corners = point.corners;
#pragma unroll
            for (int v = 0; v < kVectors; ++v) {
              const int64_t channel = head + channels + (v * lanes + lane) * V;
              Vector<T, V> numbers[kCorners];  // all on their way before the first is used
#pragma unroll
              for (int c = 0; c < kCorners; ++c) {
                numbers[c] = load<V>(value + channel + corners.row[c] * row_stride,
                                     busy[v] && corners.row[c] >= 0);
              }
#pragma unroll
              for (int c = 0; c < kCorners; ++c) {
#pragma unroll
                for (int i = 0; i < V; ++i) dots[c] += widen(numbers[c].at[i]) * grad[v][i];
                if (grad_value != nullptr && busy[v] && corners.row[c] >= 0) {
                  atomic_add_product(grad_value + channel + corners.row[c] * row_stride,
                                     corners.weight[c], grad[v]);
                }
              }
            }
          }
          A fraction[kAxes], parts[4];
#pragma unroll
          for (int a = 0; a < kAxes; ++a) fraction[a] = there ? point.fraction[a] : A(0);
          interpolate(dots, fraction, parts);
          const A sum = add_up(parts, lanes);
          if (!there || lane > kAxes) continue;
          if (lane > 0) {
            A& to = grad_slopes[geometry.slope_index(slot, start + k, lane - 1)];
            to = (channels == 0 ? A(0) : to) + point.slope_scale[lane - 1] * sum;
          } else if (grad_weights != nullptr) {
            A& to = grad_weights[geometry.weight_index(slot, start + k)];
            to = (channels == 0 ? A(0) : to) + sum;
          }
        }
      }
    }
  }
}

/// grad_slopes and grad_weights (null: not wanted) are written; `grad_value`, laid out as `value`,
/// is added to, where it is not null. There must be slots, points and channels.
template <typename T, typename Geometry>
cudaError_t scatter(const Geometry& geometry, const T* grad_output, const T* value,
                    Acc<T>* grad_value, Acc<T>* grad_slopes, Acc<T>* grad_weights,
                    cudaStream_t stream) {
  return with_vector<T>(geometry.dim, {grad_output, value, grad_value}, [&](auto width) {
    constexpr int V = decltype(width)::value;
    constexpr int kWide = sizeof(T) * V >= 16 ? 3 : 1;
    const int64_t vectors = geometry.dim / V;
    // Three vectors a lane where that leaves fewer lanes idle: 48 floats are 4 lanes, not 12 of 16.
    const int lanes = power_of_two(vectors, 4, kWarp);
    const int few_lanes = power_of_two(divide_up(vectors, kWide), 4, kWarp);
    const auto start = [&](auto kernel, int group) {
      const unsigned blocks = num_blocks(geometry.tasks(), kScatterWarps * (kWarp / group));
      return launch(kernel, dim3(blocks), kScatterWarps * kWarp, stream, geometry, group,
                    grad_output, value, grad_value, grad_slopes, grad_weights);
    };
    if (kWide * few_lanes < lanes) {
      return start(scatter_kernel<T, V, kWide, Geometry>, few_lanes);
    }
    return start(scatter_kernel<T, V, 1, Geometry>, lanes);
  });
}

}  // namespace tessera::cuda
