#pragma once
// Sampling and summing, and the gradients of that, for any grid of point_block.h. Everything here
// is inlined into the kernels, which are compiled once for each instruction set.

#include <algorithm>
#include <cstdint>

#include "core/ops/kernels/lanes.h"
#include "core/ops/kernels/packed_heads.h"
#include "core/ops/kernels/point_block.h"

namespace tessera::kernels {

/// What the engine needs to know of an attention besides its grid.
struct AttentionShape {
  int64_t batch, heads, dim, queries, points, rows;

  /// Index of head `head` (over batch and heads) and query `q` in arrays [batch, queries, heads].
  int64_t slot(int64_t head, int64_t q) const {
    return (head / heads * queries + q) * heads + head % heads;
  }
  /// Points from `point` on to the end of the arrays: blocks are read whole where they can be.
  int64_t points_from(int64_t point) const { return batch * heads * queries * points - point; }
};

/// Lanes that one pass over the points keeps in registers.
constexpr int kMaxPassLanes = 4;

/// Multiplies the corners' weights of a block of points by those of the attention, of which
/// `readable` may be read.
template <int corners, typename T>
TESSERA_KERNEL_INLINE void scale_weights(T (*weight)[kPointBlock<T>], const T* factors,
                                         int64_t readable) {
  Lanes<T> scale[1] = {};
  load_readable(factors, readable, scale);
  for (int c = 0; c < corners; ++c) store_lanes(weight[c], load_lanes(weight[c]) * scale[0]);
}

/// out[d] = sum over points of weight * sample, for `pass` lanes of channels from `channel` on.
template <int pass, typename Grid, typename T>
TESSERA_KERNEL_INLINE void gather(const Grid& grid, const AttentionShape& s, const T* head,
                                  int64_t slot, const T* locations, const T* weights,
                                  int64_t channel, T* out) {
  constexpr int kCorners = Grid::kCorners;
  const int64_t row_size = round_up_to_lanes<T>(s.dim);
  typename Grid::Block block;
  Lanes<T> sum[pass] = {};
  for (int64_t first = 0; first < s.points; first += kPointBlock<T>) {
    const int count = static_cast<int>(std::min<int64_t>(kPointBlock<T>, s.points - first));
    const int64_t point = slot * s.points + first;
    const int64_t readable = s.points_from(point);
    grid.locate(locations + Grid::kAxes * point, readable, first, block);
    scale_weights<kCorners>(block.weight, weights + point, readable);
    for (int i = 0; i < count; ++i) {
      const T* row[kCorners];
      for (int c = 0; c < kCorners; ++c) row[c] = head + block.row[c][i] * row_size + channel;
      for (int v = 0; v < pass; ++v) {
        // Two chains of additions, so that the next does not wait for the last.
        Lanes<T> even{}, odd{};
        for (int c = 0; c < kCorners; c += 2) {
          even += block.weight[c][i] * load_lanes(row[c] + v * kLanes<T>);
          odd += block.weight[c + 1][i] * load_lanes(row[c + 1] + v * kLanes<T>);
        }
        sum[v] += even + odd;
      }
    }
  }
  const int64_t left = s.dim - channel;
  if (left >= pass * kLanes<T>) {
    for (int v = 0; v < pass; ++v) store_lanes(out + channel + v * kLanes<T>, sum[v]);
  } else {
    std::memcpy(out + channel, sum, static_cast<size_t>(left) * sizeof(T));
  }
}

template <typename Grid, typename T>
TESSERA_KERNEL_INLINE void attend(const Grid& grid, const AttentionShape& s, const T* packed,
                                  int64_t first_head, const T* locations, const T* weights,
                                  T* output, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const int64_t head = task / s.queries;
    const int64_t slot = s.slot(head, task % s.queries);
    const T* rows = packed + (head - first_head) * packed_head_size<T>(s.rows, s.dim);
    T* out = output + slot * s.dim;
    const int64_t lanes = round_up_to_lanes<T>(s.dim) / kLanes<T>;
    for (int64_t lane = 0; lane < lanes; lane += kMaxPassLanes) {
      const int64_t channel = lane * kLanes<T>;
      switch (std::min<int64_t>(kMaxPassLanes, lanes - lane)) {
        case 1:
          gather<1>(grid, s, rows, slot, locations, weights, channel, out);
          break;
        case 2:
          gather<2>(grid, s, rows, slot, locations, weights, channel, out);
          break;
        case 3:
          gather<3>(grid, s, rows, slot, locations, weights, channel, out);
          break;
        default:
          gather<4>(grid, s, rows, slot, locations, weights, channel, out);
          break;
      }
    }
  }
}

/// The dot products of `grad` (whole lanes) with the rows around a point.
template <int corners, typename T>
TESSERA_KERNEL_INLINE void dot_corners(const T* head, const Index<T> (*row)[kPointBlock<T>], int i,
                                       const T* grad, int64_t row_size, T (*dots)[kPointBlock<T>]) {
  const T* rows[corners];
  for (int c = 0; c < corners; ++c) rows[c] = head + row[c][i] * row_size;
  Lanes<T> sums[corners] = {};
  for (int64_t d = 0; d < row_size; d += kLanes<T>) {
    const Lanes<T> lanes = load_lanes(grad + d);
    for (int c = 0; c < corners; ++c) sums[c] += lanes * load_lanes(rows[c] + d);
  }
  for (int c = 0; c < corners; c += 4) {
    T four[4];
    sum_four(sums + c, four);
    for (int k = 0; k < 4; ++k) dots[c + k][i] = four[k];
  }
}

/// Gradients of locations and weights.
template <typename Grid, typename T>
TESSERA_KERNEL_INLINE void differentiate_points(const Grid& grid, const AttentionShape& s,
                                                const T* grad_output, const T* packed,
                                                int64_t first_head, const T* locations,
                                                const T* weights, T* grad_locations,
                                                T* grad_weights, int64_t begin, int64_t end) {
  const int64_t row_size = round_up_to_lanes<T>(s.dim);
  AlignedBuffer<T> grad(row_size);
  std::fill_n(grad.data(), row_size, T(0));
  typename Grid::Block block;
  alignas(kLaneBytes) T dots[Grid::kCorners][kPointBlock<T>] = {};
  Lanes<T> value, slope[Grid::kAxes];
  for (int64_t task = begin; task < end; ++task) {
    const int64_t head = task / s.queries;
    const int64_t slot = s.slot(head, task % s.queries);
    const T* rows = packed + (head - first_head) * packed_head_size<T>(s.rows, s.dim);
    std::copy_n(grad_output + slot * s.dim, s.dim, grad.data());
    for (int64_t first = 0; first < s.points; first += kPointBlock<T>) {
      const int count = static_cast<int>(std::min<int64_t>(kPointBlock<T>, s.points - first));
      const int64_t point = slot * s.points + first;
      grid.locate(locations + Grid::kAxes * point, s.points_from(point), first, block);
      for (int i = 0; i < count; ++i) {
        dot_corners<Grid::kCorners>(rows, block.row, i, grad.data(), row_size, dots);
      }
      grid.differentiate(block, dots, first, value, slope);
      for (int i = 0; i < count; ++i) {
        grad_weights[point + i] = value[i];
        for (int a = 0; a < Grid::kAxes; ++a) {
          grad_locations[Grid::kAxes * (point + i) + a] = weights[point + i] * slope[a][i];
        }
      }
    }
  }
}

/// Adds grad_output, spread over the rows around every point, to `rows_out` [rows + 1, pass lanes].
template <int pass, typename Grid, typename T>
TESSERA_KERNEL_INLINE void scatter(const Grid& grid, const AttentionShape& s, int64_t head,
                                   int64_t channel, const T* grad_output, const T* locations,
                                   const T* weights, T* rows_out) {
  constexpr int kCorners = Grid::kCorners;
  constexpr int64_t kRowSize = pass * kLanes<T>;
  const auto width = static_cast<size_t>(std::min<int64_t>(s.dim - channel, kRowSize));
  typename Grid::Block block;
  std::fill_n(rows_out, (s.rows + 1) * kRowSize, T(0));
  for (int64_t q = 0; q < s.queries; ++q) {
    const int64_t slot = s.slot(head, q);
    Lanes<T> grad[pass] = {};
    std::memcpy(grad, grad_output + slot * s.dim + channel, width * sizeof(T));
    for (int64_t first = 0; first < s.points; first += kPointBlock<T>) {
      const int count = static_cast<int>(std::min<int64_t>(kPointBlock<T>, s.points - first));
      const int64_t point = slot * s.points + first;
      const int64_t readable = s.points_from(point);
      grid.locate(locations + Grid::kAxes * point, readable, first, block);
      scale_weights<kCorners>(block.weight, weights + point, readable);
      for (int i = 0; i < count; ++i) {
        for (int c = 0; c < kCorners; ++c) {
          T* row = rows_out + block.row[c][i] * kRowSize;
          for (int v = 0; v < pass; ++v) {
            T* at = row + v * kLanes<T>;
            store_lanes(at, load_lanes(at) + block.weight[c][i] * grad[v]);
          }
        }
      }
    }
  }
}

/// Gradient of value. Task t is lanes [t % passes] of head [t / passes], `pass_lanes` lanes each.
template <typename Grid, typename T>
TESSERA_KERNEL_INLINE void differentiate_value(const Grid& grid, const AttentionShape& s,
                                               const T* grad_output, const T* locations,
                                               const T* weights, T* grad_value, int64_t pass_lanes,
                                               int64_t begin, int64_t end) {
  const int64_t lanes = round_up_to_lanes<T>(s.dim) / kLanes<T>;
  const int64_t passes = (lanes + pass_lanes - 1) / pass_lanes;
  AlignedBuffer<T> buffer((s.rows + 1) * pass_lanes * kLanes<T>);
  T* const rows = buffer.data();
  for (int64_t task = begin; task < end; ++task) {
    const int64_t head = task / passes;
    const int64_t lane = task % passes * pass_lanes;
    const int64_t channel = lane * kLanes<T>;
    const int64_t in_pass = std::min(pass_lanes, lanes - lane);
    switch (in_pass) {
      case 1:
        scatter<1>(grid, s, head, channel, grad_output, locations, weights, rows);
        break;
      case 2:
        scatter<2>(grid, s, head, channel, grad_output, locations, weights, rows);
        break;
      case 3:
        scatter<3>(grid, s, head, channel, grad_output, locations, weights, rows);
        break;
      default:
        scatter<4>(grid, s, head, channel, grad_output, locations, weights, rows);
        break;
    }
    const int64_t width = std::min(s.dim - channel, in_pass * kLanes<T>);
    T* to = grad_value + (head / s.heads * s.rows * s.heads + head % s.heads) * s.dim + channel;
    for (int64_t row = 0; row < s.rows; ++row, to += s.heads * s.dim) {
      std::copy_n(rows + row * in_pass * kLanes<T>, width, to);
    }
  }
}

}  // namespace tessera::kernels
