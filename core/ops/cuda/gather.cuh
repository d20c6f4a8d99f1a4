#pragma once
// Forward: every slot is the sum of its points' samples. A block takes a tile of slots; its threads
// first locate the tile's points, one each, into shared memory, then each takes a vector of
// channels of a slot and goes through that slot's points. So a point is located once, and lanes
// side by side read vectors side by side, whatever `dim` is. The order of the sum is that of the
// points: the same bits in every run.

#include "core/ops/cuda/geometry.cuh"
#include "core/ops/cuda/launch.cuh"
#include "core/ops/cuda/vector.cuh"

namespace tessera::cuda {

constexpr int kGatherThreads = 256;
constexpr int kGatherBlocks = 2;    // of a multiprocessor at least: 128 registers a thread
constexpr int kGatherPoints = 256;  // located at a time

struct GatherPlan {
  int lanes;   // threads of a slot, one for each vector of a block of channels
  int slots;   // side by side
  int passes;  // one after the other over the same located points; 1 where these take many chunks
  int chunk;   // points of a slot that are located at a time
};

inline GatherPlan gather_plan(int64_t vectors, int64_t points) {
  GatherPlan plan{};
  plan.lanes = static_cast<int>(vectors < kGatherThreads ? vectors : kGatherThreads);
  plan.slots = kGatherThreads / plan.lanes;
  const int most = kGatherPoints / plan.slots;
  plan.chunk = static_cast<int>(points < most ? points : most);
  plan.passes = plan.chunk == points ? most / plan.chunk : 1;
  return plan;
}

template <typename T, int V, typename Geometry>
__global__ void __launch_bounds__(kGatherThreads, kGatherBlocks)
    gather_kernel(Geometry geometry, GatherPlan plan, const T* __restrict__ value,
                  T* __restrict__ output) {
  using A = Acc<T>;
  constexpr int kCorners = 1 << Geometry::kAxes;
  __shared__ Corners<A, Geometry::kAxes> located[kGatherPoints];
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread / plan.lanes;
  const int64_t channel =
      (static_cast<int64_t>(blockIdx.y) * plan.lanes + (thread - column * plan.lanes)) * V;
  const bool busy = column < plan.slots && channel < geometry.dim;
  const int tile = plan.slots * plan.passes;
  const int64_t tasks = geometry.tasks(), points = geometry.points();
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * tile; first < tasks;
       first += static_cast<int64_t>(gridDim.x) * tile) {
    A sum[V] = {};
    for (int64_t start = 0; start < points; start += plan.chunk) {
      const int count = static_cast<int>(points - start < plan.chunk ? points - start : plan.chunk);
      __syncthreads();  // the points before are used up
      for (int i = thread; i < tile * count; i += kGatherThreads) {
        const int64_t task = first + i / count;
        if (task >= tasks) break;
        const int64_t slot = geometry.slot_of(task), point = start + i % count;
        const auto& grid = geometry.grid(point);
        located[i] =
            corners_of(geometry.place(slot, point, grid), grid, geometry.weight(slot, point));
      }
      __syncthreads();
      for (int pass = 0; busy && pass < plan.passes; ++pass) {
        const int own = pass * plan.slots + column;
        if (first + own >= tasks) break;
        const int64_t slot = geometry.slot_of(first + own);
        const T* head = value + geometry.head_offset(geometry.head_of(slot)) + channel;
        if (start == 0) {
#pragma unroll
          for (int i = 0; i < V; ++i) sum[i] = 0;
        }
        for (int k = 0; k < count; ++k) {
          const Corners<A, Geometry::kAxes> corners = located[own * count + k];
          Vector<T, V> numbers[kCorners];  // all on their way before the first is used
#pragma unroll
          for (int c = 0; c < kCorners; ++c) {
            numbers[c] =
                load<V>(head + corners.row[c] * geometry.row_stride(), corners.row[c] >= 0);
          }
#pragma unroll
          for (int c = 0; c < kCorners; ++c) add_product(sum, corners.weight[c], numbers[c]);
        }
        if (start + count == points) store(output + slot * geometry.dim + channel, sum);
      }
    }
  }
}

/// `output` [slots, dim]; every number is written. There must be slots, points and channels.
template <typename T, typename Geometry>
cudaError_t gather(const Geometry& geometry, const T* value, T* output, cudaStream_t stream) {
  return with_vector<T>(geometry.dim, {value, output}, [&](auto width) {
    constexpr int V = decltype(width)::value;
    const GatherPlan plan = gather_plan(geometry.dim / V, geometry.points());
    const dim3 blocks(num_blocks(geometry.tasks(), plan.slots * plan.passes),
                      static_cast<unsigned>(divide_up(geometry.dim / V, plan.lanes)));
    return launch(gather_kernel<T, V, Geometry>, blocks, kGatherThreads, stream, geometry, plan,
                  value, output);
  });
}

}  // namespace tessera::cuda
