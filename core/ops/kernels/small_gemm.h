#pragma once
// A matrix product for right-hand sides that fit a core's cache: there the library's packing costs
// more than its blocking saves.

#include <cstdint>

namespace tessera::kernels {

/// Element (row, column) of the left-hand side at row * row + column * column.
struct MatrixStrides {
  int64_t row, column;
};

/// C = A * B, or C += A * B where `accumulate`. A is [rows, depth]; B [depth, columns] and
/// C [rows, columns] are row major and dense, with `columns` in whole lanes (round_up_to_lanes).
void small_gemm(const float* a, MatrixStrides a_strides, const float* b, float* c, int64_t rows,
                int64_t depth, int64_t columns, bool accumulate);
void small_gemm(const double* a, MatrixStrides a_strides, const double* b, double* c, int64_t rows,
                int64_t depth, int64_t columns, bool accumulate);

}  // namespace tessera::kernels
