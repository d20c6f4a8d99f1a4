#pragma once
// Where a sampling location falls on a grid of cells, and what it weighs there. Shared by the CPU
// and the CUDA kernels, so that both have one convention; C++17, because nvcc compiles it too.
//
// Pixel i has its centre at coordinate i. A sample interpolates linearly between the cells `low`
// and `low + 1`; a cell outside the grid counts as zero. A coordinate at or below -1, at or above
// `size`, or not finite, is outside altogether: zero, and without any gradient. Exactly on a pixel
// centre the slope is that of the interval which starts there, as floor() gives it.

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define TESSERA_KERNEL_INLINE __host__ __device__ __forceinline__
#else
#define TESSERA_KERNEL_INLINE inline __attribute__((always_inline))
#endif

namespace tessera::kernels {

/// What holds at coordinate -1 exactly, where the value is zero but has two one-sided slopes.
enum class Border {
  kNoGradient,       // the slope of the outside: zero
  kOneSidedGradient  // the slope of the inside: that of cell 0
};

/// One coordinate between two cells of an axis.
template <typename T>
struct AxisCell {
  int64_t low;    // the cell at or below the coordinate, -1 .. size - 1
  T fraction;     // coordinate - low, in [0, 1)
  bool has_low;   // is cell `low` on the grid
  bool has_high;  // is cell `low + 1` on the grid

  TESSERA_KERNEL_INLINE bool inside() const { return has_low || has_high; }
};

/// The normalised location `location` (0 .. 1 spans the outer edges of `size` cells) in pixels.
template <typename T>
TESSERA_KERNEL_INLINE T to_pixel(T location, int64_t size) {
  return location * static_cast<T>(size) - static_cast<T>(0.5);
}

/// The two cells around `pixel`. Any value is allowed, also NaN and infinity: those are outside.
template <typename T>
TESSERA_KERNEL_INLINE AxisCell<T> locate(T pixel, int64_t size,
                                         Border border = Border::kNoGradient) {
  // Written so that NaN fails; only after this test does the number fit into an integer.
  const bool above = border == Border::kOneSidedGradient ? pixel >= T(-1) : pixel > T(-1);
  if (!(above && pixel < static_cast<T>(size))) return {0, T(0), false, false};
  const T low = std::floor(pixel);
  const auto cell = static_cast<int64_t>(low);
  return {cell, pixel - low, cell >= 0, cell + 1 < size};
}

/// One point between the four cells of a plane, in the order (y,x), (y,x+1), (y+1,x), (y+1,x+1).
template <typename T>
struct PlaneCell {
  int64_t row[4];  // y * width + x, or -1 outside the plane
  T weight[4];     // bilinear weights, sum 1
  T fraction_x;
  T fraction_y;
  bool inside;  // is any of the four cells on the plane
};

template <typename T>
TESSERA_KERNEL_INLINE PlaneCell<T> locate_in_plane(T pixel_x, T pixel_y, int64_t height,
                                                   int64_t width,
                                                   Border border = Border::kNoGradient) {
  const AxisCell<T> x = locate(pixel_x, width, border);
  const AxisCell<T> y = locate(pixel_y, height, border);
  PlaneCell<T> cell;
  const int64_t first = y.low * width + x.low;
  cell.row[0] = y.has_low && x.has_low ? first : -1;
  cell.row[1] = y.has_low && x.has_high ? first + 1 : -1;
  cell.row[2] = y.has_high && x.has_low ? first + width : -1;
  cell.row[3] = y.has_high && x.has_high ? first + width + 1 : -1;
  cell.weight[0] = (T(1) - y.fraction) * (T(1) - x.fraction);
  cell.weight[1] = (T(1) - y.fraction) * x.fraction;
  cell.weight[2] = y.fraction * (T(1) - x.fraction);
  cell.weight[3] = y.fraction * x.fraction;
  cell.fraction_x = x.fraction;
  cell.fraction_y = y.fraction;
  cell.inside = x.inside() && y.inside();
  return cell;
}

/// An interpolated value and its slopes per pixel.
template <typename T>
struct PlaneSample {
  T value, slope_x, slope_y;
};

/// Interpolates between the values at the four cells of `cell` (zero where outside).
template <typename T>
TESSERA_KERNEL_INLINE PlaneSample<T> interpolate(const PlaneCell<T>& cell, const T values[4]) {
  const T x = cell.fraction_x;
  const T y = cell.fraction_y;
  return {cell.weight[0] * values[0] + cell.weight[1] * values[1] + cell.weight[2] * values[2] +
              cell.weight[3] * values[3],
          (T(1) - y) * (values[1] - values[0]) + y * (values[3] - values[2]),
          (T(1) - x) * (values[2] - values[0]) + x * (values[3] - values[1])};
}

}  // namespace tessera::kernels
