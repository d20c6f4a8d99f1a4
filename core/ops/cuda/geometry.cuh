#pragma once
// The three operators as one problem. A slot is a run of `dim` output channels: the weighted sum of
// samples of one head at its points. A geometry says which slots, points and heads there are, where
// points lie, and where the numbers of each are; gather.cuh, scatter.cuh and gather_rows.cuh do the
// rest for any of them.
//
// A head is a run of `dim` channels in rows `row_stride` apart. Tasks are slots in an order in
// which neighbours sample the same rows.

#include <cstdint>

#include "core/ops/cuda/kernels.h"
#include "core/ops/cuda/place.cuh"
#include "core/ops/kernels/sizes.h"
#include "core/ops/kernels/tap.h"

namespace tessera::cuda {

// What both attentions have in common: slots [batch, queries, heads], tasks [batch, heads,
// queries].
template <typename A>
struct AttentionGeometry {
  int64_t batch, row_count, num_heads, dim, queries, slot_points;
  const A* locations;
  const A* weights;

  TESSERA_KERNEL_INLINE int64_t tasks() const { return batch * num_heads * queries; }
  TESSERA_KERNEL_INLINE int64_t points() const { return slot_points; }
  TESSERA_KERNEL_INLINE int64_t heads() const { return batch * num_heads; }
  TESSERA_KERNEL_INLINE int64_t rows() const { return row_count; }
  TESSERA_KERNEL_INLINE int64_t row_stride() const { return num_heads * dim; }

  __device__ __forceinline__ int64_t slot_of(int64_t task) const {
    const int64_t head = task / queries;
    const int64_t image = head / num_heads;
    return (image * queries + (task - head * queries)) * num_heads + (head - image * num_heads);
  }
  __device__ __forceinline__ int64_t head_of(int64_t slot) const {
    const int64_t query = slot / num_heads;
    return query / queries * num_heads + (slot - query * num_heads);
  }
  /// Where a head begins in `value`.
  __device__ __forceinline__ int64_t head_offset(int64_t head) const {
    const int64_t image = head / num_heads;
    return image * rows() * row_stride() + (head - image * num_heads) * dim;
  }
  __device__ __forceinline__ A weight(int64_t slot, int64_t point) const {
    return weights[weight_index(slot, point)];
  }
  __device__ __forceinline__ int64_t weight_index(int64_t slot, int64_t point) const {
    return slot * slot_points + point;
  }
};

template <typename A>
struct StGeometry : AttentionGeometry<A> {
  static constexpr int kAxes = 3;
  Grid<3> whole;

  StGeometry(const kernels::StDeformAttnSizes& s, const A* locations, const A* weights)
      : AttentionGeometry<A>{s.batch,   s.frames * s.height * s.width,
                             s.heads,   s.dim,
                             s.queries, s.points,
                             locations, weights},
        whole{{s.width, s.height, s.frames}, 0, 0} {}

  TESSERA_KERNEL_INLINE int64_t bins() const { return num_bins(whole); }
  __device__ __forceinline__ const Grid<3>& grid(int64_t /*point*/) const { return whole; }
  __device__ __forceinline__ const Grid<3>& grid_of_row(int64_t /*row*/) const { return whole; }
  __device__ __forceinline__ int64_t slope_index(int64_t slot, int64_t point, int axis) const {
    return 3 * this->weight_index(slot, point) + axis;
  }
  /// Cells that a location moves by, when its number on an axis grows by 1.
  __device__ __forceinline__ A cells_per_unit(const Grid<3>& grid, int axis) const {
    return static_cast<A>(grid.size[axis]);
  }
  __device__ __forceinline__ Place<A, 3> place(int64_t slot, int64_t point,
                                               const Grid<3>& grid) const {
    const A* at = this->locations + slope_index(slot, point, 0);
    Place<A, 3> place;
#pragma unroll
    for (int a = 0; a < 3; ++a) {
      place.axis[a] = kernels::locate(kernels::to_pixel(at[a], grid.size[a]), grid.size[a]);
    }
    return place;
  }
};

template <typename A>
struct MsGeometry : AttentionGeometry<A> {
  static constexpr int kAxes = 2;
  int64_t num_levels, level_points, bin_count;
  Grid<2> level[kMaxLevels];

  MsGeometry(const kernels::MsDeformAttnSizes& s, const kernels::Level* levels, const A* locations,
             const A* weights)
      : AttentionGeometry<A>{s.batch,   s.rows, s.heads, s.dim, s.queries, s.levels * s.points,
                             locations, weights},
        num_levels(s.levels),
        level_points(s.points),
        bin_count(0),
        level{} {
    for (int64_t l = 0; l < s.levels; ++l) {
      level[l] = {{levels[l].width, levels[l].height}, levels[l].first_row, bin_count};
      bin_count += num_bins(level[l]);
    }
  }

  TESSERA_KERNEL_INLINE int64_t bins() const { return bin_count; }
  __device__ __forceinline__ const Grid<2>& grid(int64_t point) const {
    return level[point / level_points];
  }
  __device__ __forceinline__ const Grid<2>& grid_of_row(int64_t row) const {
    int64_t l = 0;
    while (l + 1 < num_levels && level[l + 1].first_row <= row) ++l;
    return level[l];
  }
  __device__ __forceinline__ int64_t slope_index(int64_t slot, int64_t point, int axis) const {
    return 2 * this->weight_index(slot, point) + axis;
  }
  __device__ __forceinline__ A cells_per_unit(const Grid<2>& grid, int axis) const {
    return static_cast<A>(grid.size[axis]);
  }
  __device__ __forceinline__ Place<A, 2> place(int64_t slot, int64_t point,
                                               const Grid<2>& grid) const {
    const A* at = this->locations + slope_index(slot, point, 0);
    Place<A, 2> place;
#pragma unroll
    for (int a = 0; a < 2; ++a) {
      place.axis[a] = kernels::locate(kernels::to_pixel(at[a], grid.size[a]), grid.size[a]);
    }
    return place;
  }
};

/// The columns of a deformable convolution: a slot [positions, taps, offset groups] has one point.
template <typename A>
struct ColumnsGeometry {
  static constexpr int kAxes = 2;
  kernels::DeformColumnsSizes s;
  kernels::Border border;
  int64_t taps, positions, dim;
  const A* offset;
  const A* mask;
  Grid<2> image;

  ColumnsGeometry(const kernels::DeformColumnsSizes& sizes, kernels::Border border_gradient,
                  const A* offset_data, const A* mask_data)
      : s(sizes),
        border(border_gradient),
        taps(s.kernel_height * s.kernel_width),
        positions(s.output_height * s.output_width),
        dim(s.channels / s.offset_groups),
        offset(offset_data),
        mask(mask_data),
        image{{s.width, s.height}, 0, 0} {}

  TESSERA_KERNEL_INLINE int64_t tasks() const { return positions * taps * s.offset_groups; }
  TESSERA_KERNEL_INLINE int64_t points() const { return 1; }
  TESSERA_KERNEL_INLINE int64_t heads() const { return s.offset_groups; }
  TESSERA_KERNEL_INLINE int64_t rows() const { return s.height * s.width; }
  TESSERA_KERNEL_INLINE int64_t row_stride() const { return s.channels; }
  TESSERA_KERNEL_INLINE int64_t bins() const { return num_bins(image); }

  __device__ __forceinline__ int64_t slot_of(int64_t task) const { return task; }
  __device__ __forceinline__ int64_t head_of(int64_t slot) const { return slot % s.offset_groups; }
  __device__ __forceinline__ int64_t head_offset(int64_t head) const { return head * dim; }
  __device__ __forceinline__ const Grid<2>& grid(int64_t /*point*/) const { return image; }
  __device__ __forceinline__ const Grid<2>& grid_of_row(int64_t /*row*/) const { return image; }
  __device__ __forceinline__ int64_t weight_index(int64_t slot, int64_t /*point*/) const {
    const int64_t tap = slot / s.offset_groups;
    return (head_of(slot) * taps + tap % taps) * positions + tap / taps;
  }
  __device__ __forceinline__ A weight(int64_t slot, int64_t point) const {
    return mask == nullptr ? A(1) : mask[weight_index(slot, point)];
  }
  __device__ __forceinline__ int64_t slope_index(int64_t slot, int64_t /*point*/, int axis) const {
    const int64_t tap = slot / s.offset_groups;
    const int64_t dy = kernels::tap_offset_index(s, head_of(slot), tap % taps, tap / taps);
    return axis == 0 ? dy + positions : dy;
  }
  __device__ __forceinline__ A cells_per_unit(const Grid<2>& /*grid*/, int /*axis*/) const {
    return A(1);
  }
  __device__ __forceinline__ Place<A, 2> place(int64_t slot, int64_t /*point*/,
                                               const Grid<2>& grid) const {
    const int64_t tap = slot / s.offset_groups;
    const auto pixel = kernels::tap_pixel(s, offset, head_of(slot), tap % taps, tap / taps);
    return {{kernels::locate(pixel.x, grid.size[0], border),
             kernels::locate(pixel.y, grid.size[1], border)}};
  }
};

}  // namespace tessera::cuda
