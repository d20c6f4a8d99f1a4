#pragma once
// The gradient of values without atomics, the same bits in every run. Points are numbered by
// the bin of cells they lie in; the caller sorts them by it, stably; then a group of lanes takes a
// row of values and adds up, in that order, what the points of the bins around it send there.

#include "core/ops/cuda/geometry.cuh"
#include "core/ops/cuda/launch.cuh"
#include "core/ops/cuda/scatter.cuh"
#include "core/ops/cuda/vector.cuh"

namespace tessera::cuda {

constexpr int kRowThreads = 128;
constexpr int kRowBlocks = 4;  // of a multiprocessor at least: 128 registers a thread

/// Bins of all heads, and one more for points outside.
template <typename Geometry>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks)
    bin_kernel(Geometry geometry, int32_t* __restrict__ bins) {
  const int64_t points = geometry.points(), count = geometry.tasks() * points;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kRowThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kRowThreads + threadIdx.x; i < count;
       i += stride) {
    const int64_t slot = i / points, point = i - slot * points;
    const auto& grid = geometry.grid(point);
    const auto place = geometry.place(slot, point, grid);
    const int64_t bin = place.inside() ? geometry.head_of(slot) * geometry.bins() + place.bin(grid)
                                       : geometry.heads() * geometry.bins();
    bins[i] = static_cast<int32_t>(bin);
  }
}

/// starts[b] is the first of the sorted points whose bin is not below b; b up to the number of
/// bins.
__global__ static void __launch_bounds__(kRowThreads, kRowBlocks)
    start_kernel(int64_t num_bins, int64_t count, const int32_t* __restrict__ sorted_bins,
                 int32_t* __restrict__ starts) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kRowThreads;
  for (int64_t bin = static_cast<int64_t>(blockIdx.x) * kRowThreads + threadIdx.x; bin <= num_bins;
       bin += stride) {
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (sorted_bins[middle] < bin) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    starts[bin] = static_cast<int32_t>(low);
  }
}

/// `lanes` is a power of two up to 32. Groups of one warp have different numbers of points, so each
/// group shuffles on its own.
template <typename T, int V, typename Geometry>
__global__ void __launch_bounds__(kRowThreads, kRowBlocks)
    row_kernel(Geometry geometry, int lanes, const T* __restrict__ grad_output,
               const int32_t* __restrict__ starts, const int64_t* __restrict__ order,
               T* __restrict__ grad_value) {
  using A = Acc<T>;
  constexpr int kAxes = Geometry::kAxes;
  const int own = static_cast<int>(threadIdx.x) % kWarp;
  const int lane = own % lanes, groups = kRowThreads / lanes;
  const unsigned mask = lanes == kWarp ? kAllLanes : ((1u << lanes) - 1) << (own - lane);
  const int64_t rows = geometry.rows(), points = geometry.points();
  const int64_t targets = geometry.heads() * rows;
  for (int64_t target = static_cast<int64_t>(blockIdx.x) * groups + threadIdx.x / lanes;
       target < targets; target += static_cast<int64_t>(gridDim.x) * groups) {
    const int64_t head = target / rows, row = target - head * rows;
    const auto& grid = geometry.grid_of_row(row);
    int64_t cell[kAxes], rest = row - grid.first_row;
#pragma unroll
    for (int a = 0; a < kAxes; ++a) {
      cell[a] = rest % grid.size[a];
      rest /= grid.size[a];
    }
    const int64_t to = geometry.head_offset(head) + row * geometry.row_stride();
    for (int64_t channels = 0; channels < geometry.dim; channels += lanes * V) {
      const int64_t channel = channels + lane * V;
      const bool busy = channel < geometry.dim;
      A sum[V] = {};
      for (int corner = 0; corner < 1 << kAxes; ++corner) {  // that this row is of the points
        int64_t bin = 0;
#pragma unroll
        for (int a = kAxes - 1; a >= 0; --a) {
          bin = bin * (grid.size[a] + 1) + cell[a] + 1 - (corner >> a & 1);
        }
        bin += head * geometry.bins() + grid.first_bin;
        const int64_t end = starts[bin + 1];
        for (int64_t start = starts[bin]; start < end; start += lanes) {
          int64_t slot = 0;
          A weight = 0;
          if (start + lane < end) {
            const int64_t number = order[start + lane];
            slot = number / points;
            const int64_t point = number - slot * points;
            weight = geometry.place(slot, point, geometry.grid(point)).weight(corner) *
                     geometry.weight(slot, point);
          }
          const int count = static_cast<int>(end - start < lanes ? end - start : lanes);
          for (int k = 0; k < count; ++k) {
            const int64_t from = __shfl_sync(mask, slot, k, lanes) * geometry.dim + channel;
            add_product(sum, __shfl_sync(mask, weight, k, lanes),
                        load<V>(grad_output + from, busy));
          }
        }
      }
      if (busy) store(grad_value + to + channel, sum);
    }
  }
}

/// Writes the bin of every point, in the order of the points.
template <typename Geometry>
cudaError_t find_bins(const Geometry& geometry, int32_t* bins, cudaStream_t stream) {
  const int64_t count = geometry.tasks() * geometry.points();
  return launch(bin_kernel<Geometry>, dim3(num_blocks(count, kRowThreads)), kRowThreads, stream,
                geometry, bins);
}

/// Writes every number of `to.in_order`. There must be slots, points and channels.
template <typename T, typename Geometry>
cudaError_t gather_rows(const Geometry& geometry, const T* grad_output, const ValueGradient<T>& to,
                        cudaStream_t stream) {
  const int64_t count = geometry.tasks() * geometry.points();
  const int64_t bins = geometry.heads() * geometry.bins();
  const cudaError_t error = launch(start_kernel, dim3(num_blocks(bins + 1, kRowThreads)),
                                   kRowThreads, stream, bins, count, to.sorted_bins, to.starts);
  if (error != cudaSuccess) return error;
  return with_vector<T>(geometry.dim, {grad_output, to.in_order}, [&](auto width) {
    constexpr int V = decltype(width)::value;
    const int lanes = power_of_two(geometry.dim / V, 1, kWarp);
    const unsigned blocks = num_blocks(geometry.heads() * geometry.rows(), kRowThreads / lanes);
    return launch(row_kernel<T, V, Geometry>, dim3(blocks), kRowThreads, stream, geometry, lanes,
                  grad_output, to.starts, to.order, to.in_order);
  });
}

}  // namespace tessera::cuda
