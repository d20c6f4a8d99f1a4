#include "core/ops/kernels/small_gemm.h"

#include "core/ops/kernels/lanes.h"

namespace tessera::kernels {
namespace {

/// `height` rows and `width` lanes of C, kept in registers.
template <int height, int width, typename T>
TESSERA_KERNEL_INLINE void multiply_block(const T* a, MatrixStrides strides, const T* b, T* c,
                                          int64_t depth, int64_t columns, bool accumulate) {
  Lanes<T> sum[height][width] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Lanes<T> right[width];
    for (int v = 0; v < width; ++v) right[v] = load_lanes(b + k * columns + v * kLanes<T>);
    for (int r = 0; r < height; ++r) {
      const T left = a[r * strides.row + k * strides.column];
      for (int v = 0; v < width; ++v) sum[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < height; ++r) {
    for (int v = 0; v < width; ++v) {
      T* at = c + r * columns + v * kLanes<T>;
      store_lanes(at, accumulate ? load_lanes(at) + sum[r][v] : sum[r][v]);
    }
  }
}

template <int width, typename T>
TESSERA_KERNEL_INLINE void multiply_columns(const T* a, MatrixStrides strides, const T* b, T* c,
                                            int64_t rows, int64_t depth, int64_t columns,
                                            bool accumulate) {
  constexpr int kHeight = 6;
  int64_t row = 0;
  for (; row + kHeight <= rows; row += kHeight) {
    multiply_block<kHeight, width>(a + row * strides.row, strides, b, c + row * columns, depth,
                                   columns, accumulate);
  }
  for (; row < rows; ++row) {
    multiply_block<1, width>(a + row * strides.row, strides, b, c + row * columns, depth, columns,
                             accumulate);
  }
}

template <typename T>
TESSERA_KERNEL_INLINE void multiply(const T* a, MatrixStrides strides, const T* b, T* c,
                                    int64_t rows, int64_t depth, int64_t columns, bool accumulate) {
  int64_t column = 0;
  for (; column + 2 * kLanes<T> <= columns; column += 2 * kLanes<T>) {
    multiply_columns<2>(a, strides, b + column, c + column, rows, depth, columns, accumulate);
  }
  if (column < columns) {
    multiply_columns<1>(a, strides, b + column, c + column, rows, depth, columns, accumulate);
  }
}

}  // namespace

TESSERA_SIMD_CLONES
void small_gemm(const float* a, MatrixStrides a_strides, const float* b, float* c, int64_t rows,
                int64_t depth, int64_t columns, bool accumulate) {
  multiply(a, a_strides, b, c, rows, depth, columns, accumulate);
}

TESSERA_SIMD_CLONES
void small_gemm(const double* a, MatrixStrides a_strides, const double* b, double* c, int64_t rows,
                int64_t depth, int64_t columns, bool accumulate) {
  multiply(a, a_strides, b, c, rows, depth, columns, accumulate);
}

}  // namespace tessera::kernels
