#pragma once
// Sampling points located many at a time, without a branch: which rows of a packed head (see
// packed_heads.h) surround each point, and how much each of them weighs. A row off the grid becomes
// the row of zeros, so that the loops over channels need no test. The convention is that of
// sampling_grid.h.

#include <cstdint>
#include <utility>
#include <vector>

#include "core/ops/kernels/lanes.h"
#include "core/ops/kernels/sizes.h"

namespace tessera::kernels {

/// Points that are located together: one for each lane.
template <typename T>
constexpr int kPointBlock = static_cast<int>(kLanes<T>);

/// `corners` rows around each of up to kPointBlock points on a grid of `axes` axes.
template <typename T, int corners, int axes>
struct PointBlock {
  alignas(kLaneBytes) Index<T> row[corners][kPointBlock<T>];
  alignas(kLaneBytes) T weight[corners][kPointBlock<T>];
  Lanes<T> fraction[axes];
};

/// Coordinates between cells `low` and the next; the masks say which of the two are on the grid.
template <typename T>
struct AxisLanes {
  IndexLanes<T> low, has_low, has_high;
  Lanes<T> fraction;
};

/// Pixels on axes of `size` cells where `inside`, which must imply a pixel from -1 to the size.
template <typename T>
TESSERA_KERNEL_INLINE AxisLanes<T> locate_inside(const Lanes<T>& pixel, const IndexLanes<T>& inside,
                                                 const IndexLanes<T>& size) {
  const Lanes<T> safe = inside ? pixel : Lanes<T>{};
  const auto truncated = __builtin_convertvector(safe, IndexLanes<T>);
  // A true comparison is -1: below zero, truncation is one too high.
  const IndexLanes<T> low = truncated + (__builtin_convertvector(truncated, Lanes<T>) > safe);
  return {low, inside & (low >= 0), inside & (low + 1 < size),
          safe - __builtin_convertvector(low, Lanes<T>)};
}

/// Locations on axes of `size` cells; NaN and infinity are outside, as anything beyond one cell.
template <typename T>
TESSERA_KERNEL_INLINE AxisLanes<T> locate_on_axis(const Lanes<T>& location,
                                                  const IndexLanes<T>& size,
                                                  const Lanes<T>& real_size) {
  const Lanes<T> pixel = location * real_size - T(0.5);
  return locate_inside<T>(pixel, (pixel > T(-1)) & (pixel < real_size), size);
}

template <int axis, typename T, size_t... i>
TESSERA_KERNEL_INLINE Lanes<T> every_second(const Lanes<T> (&from)[2], std::index_sequence<i...>) {
  return __builtin_shufflevector(from[0], from[1], (2 * i + axis)...);
}

template <int axis, typename T, size_t... i>
TESSERA_KERNEL_INLINE Lanes<T> every_third(const Lanes<T> (&from)[3], std::index_sequence<i...>) {
  constexpr size_t kWidth = sizeof...(i);
  const Lanes<T> first =
      __builtin_shufflevector(from[0], from[1], (3 * i + axis < 2 * kWidth ? 3 * i + axis : 0)...);
  return __builtin_shufflevector(first, from[2],
                                 (3 * i + axis < 2 * kWidth ? i : 3 * i + axis - kWidth)...);
}

/// Splits a block of locations by axis. Beyond `readable` points nothing is read.
template <typename T>
TESSERA_KERNEL_INLINE void split_axes(const T* locations, int64_t readable, Lanes<T> (&split)[2]) {
  Lanes<T> packed[2] = {};
  load_readable(locations, 2 * readable, packed);
  constexpr auto lanes = std::make_index_sequence<kPointBlock<T>>();
  split[0] = every_second<0, T>(packed, lanes);
  split[1] = every_second<1, T>(packed, lanes);
}

template <typename T>
TESSERA_KERNEL_INLINE void split_axes(const T* locations, int64_t readable, Lanes<T> (&split)[3]) {
  Lanes<T> packed[3] = {};
  load_readable(locations, 3 * readable, packed);
  constexpr auto lanes = std::make_index_sequence<kPointBlock<T>>();
  split[0] = every_third<0, T>(packed, lanes);
  split[1] = every_third<1, T>(packed, lanes);
  split[2] = every_third<2, T>(packed, lanes);
}

/// A volume of frames: eight corners, axes x, y and t. Its corners are in the order
/// (t, y, x), (t, y, x+1), (t, y+1, x), (t, y+1, x+1), and the same four of frame t+1.
template <typename T>
class VolumeGrid {
 public:
  static constexpr int kCorners = 8;
  static constexpr int kAxes = 3;
  using Block = PointBlock<T, kCorners, kAxes>;

  explicit VolumeGrid(const StDeformAttnSizes& sizes)
      : width_(static_cast<Index<T>>(sizes.width)),
        height_(static_cast<Index<T>>(sizes.height)),
        frames_(static_cast<Index<T>>(sizes.frames)) {}

  TESSERA_KERNEL_INLINE void locate(const T* locations, int64_t readable, int64_t /*first_point*/,
                                    Block& block) const {
    Lanes<T> split[kAxes];
    split_axes(locations, readable, split);
    const IndexLanes<T> none{};
    const Lanes<T> zero{};
    const auto x = locate_on_axis<T>(split[0], none + width_, zero + T(width_));
    const auto y = locate_on_axis<T>(split[1], none + height_, zero + T(height_));
    const auto t = locate_on_axis<T>(split[2], none + frames_, zero + T(frames_));
    const Index<T> plane = height_ * width_;
    const IndexLanes<T> outside = none + frames_ * plane;
    const IndexLanes<T> first = (t.low * height_ + y.low) * width_ + x.low;
    for (int c = 0; c < kCorners; ++c) {
      const IndexLanes<T> on_grid = (c & 4 ? t.has_high : t.has_low) &
                                    (c & 2 ? y.has_high : y.has_low) &
                                    (c & 1 ? x.has_high : x.has_low);
      const Index<T> step = (c & 4 ? plane : 0) + (c & 2 ? width_ : 0) + (c & 1);
      store_lanes(block.row[c], on_grid ? first + step : outside);
      store_lanes(block.weight[c], (c & 4 ? t.fraction : T(1) - t.fraction) *
                                       ((c & 2 ? y.fraction : T(1) - y.fraction) *
                                        (c & 1 ? x.fraction : T(1) - x.fraction)));
    }
    block.fraction[0] = x.fraction;
    block.fraction[1] = y.fraction;
    block.fraction[2] = t.fraction;
  }

  /// From the dot products at the corners, the samples' values and slopes per normalised unit.
  TESSERA_KERNEL_INLINE void differentiate(const Block& block, const T (*dots)[kPointBlock<T>],
                                           int64_t /*first_point*/, Lanes<T>& value,
                                           Lanes<T> (&slope)[kAxes]) const {
    const Lanes<T> x = block.fraction[0], y = block.fraction[1], t = block.fraction[2];
    // Interpolated along t first, then the plane that remains.
    Lanes<T> d[4], change[4];
    for (int c = 0; c < 4; ++c) {
      const Lanes<T> here = load_lanes(dots[c]), next = load_lanes(dots[c + 4]);
      d[c] = (T(1) - t) * here + t * next;
      change[c] = next - here;
    }
    const Lanes<T> w0 = (T(1) - y) * (T(1) - x), w1 = (T(1) - y) * x;
    const Lanes<T> w2 = y * (T(1) - x), w3 = y * x;
    value = w0 * d[0] + w1 * d[1] + w2 * d[2] + w3 * d[3];
    slope[0] = ((T(1) - y) * (d[1] - d[0]) + y * (d[3] - d[2])) * T(width_);
    slope[1] = ((T(1) - x) * (d[2] - d[0]) + x * (d[3] - d[1])) * T(height_);
    slope[2] = (w0 * change[0] + w1 * change[1] + w2 * change[2] + w3 * change[3]) * T(frames_);
  }

 private:
  Index<T> width_, height_, frames_;
};

/// Planes of several levels: four corners in the order (y, x), (y, x+1), (y+1, x), (y+1, x+1). The
/// points of a query are those of level 0, then of level 1, and so on.
template <typename T>
class PyramidGrid {
 public:
  static constexpr int kCorners = 4;
  static constexpr int kAxes = 2;
  using Block = PointBlock<T, kCorners, kAxes>;

  PyramidGrid(const MsDeformAttnSizes& s, const Level* levels)
      : outside_(static_cast<Index<T>>(s.rows)),
        size_(static_cast<size_t>(s.levels * s.points + kPointBlock<T>)),
        numbers_(3 * size_) {
    for (int64_t p = 0; p < s.levels * s.points; ++p) {
      const Level& level = levels[p / s.points];
      const auto at = static_cast<size_t>(p);
      numbers_[at] = static_cast<Index<T>>(level.width);
      numbers_[size_ + at] = static_cast<Index<T>>(level.height);
      numbers_[2 * size_ + at] = static_cast<Index<T>>(level.first_row);
    }
  }

  TESSERA_KERNEL_INLINE void locate(const T* locations, int64_t readable, int64_t first_point,
                                    Block& block) const {
    Lanes<T> split[kAxes];
    split_axes(locations, readable, split);
    const IndexLanes<T> width = number(0, first_point), height = number(1, first_point);
    const auto x = locate_on_axis<T>(split[0], width, __builtin_convertvector(width, Lanes<T>));
    const auto y = locate_on_axis<T>(split[1], height, __builtin_convertvector(height, Lanes<T>));
    const IndexLanes<T> first = number(2, first_point) + y.low * width + x.low;
    const IndexLanes<T> outside = IndexLanes<T>{} + outside_;
    for (int c = 0; c < kCorners; ++c) {
      const IndexLanes<T> on_grid =
          (c & 2 ? y.has_high : y.has_low) & (c & 1 ? x.has_high : x.has_low);
      const IndexLanes<T> row = (c & 2 ? first + width : first) + (c & 1);
      store_lanes(block.row[c], on_grid ? row : outside);
      store_lanes(block.weight[c], (c & 2 ? y.fraction : T(1) - y.fraction) *
                                       (c & 1 ? x.fraction : T(1) - x.fraction));
    }
    block.fraction[0] = x.fraction;
    block.fraction[1] = y.fraction;
  }

  /// As VolumeGrid's.
  TESSERA_KERNEL_INLINE void differentiate(const Block& block, const T (*dots)[kPointBlock<T>],
                                           int64_t first_point, Lanes<T>& value,
                                           Lanes<T> (&slope)[kAxes]) const {
    const Lanes<T> x = block.fraction[0], y = block.fraction[1];
    Lanes<T> d[kCorners];
    value = Lanes<T>{};
    for (int c = 0; c < kCorners; ++c) {
      d[c] = load_lanes(dots[c]);
      value += load_lanes(block.weight[c]) * d[c];
    }
    slope[0] = ((T(1) - y) * (d[1] - d[0]) + y * (d[3] - d[2])) *
               __builtin_convertvector(number(0, first_point), Lanes<T>);
    slope[1] = ((T(1) - x) * (d[2] - d[0]) + x * (d[3] - d[1])) *
               __builtin_convertvector(number(1, first_point), Lanes<T>);
  }

 private:
  // Width (0), height (1) or first row (2) of the levels of the points from `first_point` on.
  TESSERA_KERNEL_INLINE IndexLanes<T> number(size_t which, int64_t first_point) const {
    return load_indices<T>(numbers_.data() + which * size_ + first_point);
  }

  Index<T> outside_;
  size_t size_;                    // of each third of numbers_, with room for a block's load
  std::vector<Index<T>> numbers_;  // by point: widths, heights, first rows
};

}  // namespace tessera::kernels
