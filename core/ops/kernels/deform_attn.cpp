#include "core/ops/kernels/deform_attn.h"

#include "core/ops/kernels/deform_attn_engine.h"

namespace tessera::kernels {
namespace {

AttentionShape shape_of(const StDeformAttnSizes& s) {
  return {s.batch, s.heads, s.dim, s.queries, s.points, num_rows(s)};
}
AttentionShape shape_of(const MsDeformAttnSizes& s) {
  return {s.batch, s.heads, s.dim, s.queries, s.levels * s.points, s.rows};
}

template <typename T>
VolumeGrid<T> grid_of(const StDeformAttnSizes& sizes, const Level*) {
  return VolumeGrid<T>(sizes);
}
template <typename T>
PyramidGrid<T> grid_of(const MsDeformAttnSizes& sizes, const Level* levels) {
  return PyramidGrid<T>(sizes, levels);
}

}  // namespace

#define TESSERA_DEFORM_ATTN_KERNELS(Sizes, T)                                                     \
  TESSERA_SIMD_CLONES                                                                             \
  void deform_attn_forward(const Sizes& sizes, const Level* levels, const T* packed,              \
                           int64_t first_head, const T* locations, const T* weights, T* output,   \
                           int64_t begin, int64_t end) {                                          \
    const auto grid = grid_of<T>(sizes, levels);                                                  \
    attend(grid, shape_of(sizes), packed, first_head, locations, weights, output, begin, end);    \
  }                                                                                               \
  TESSERA_SIMD_CLONES                                                                             \
  void deform_attn_backward_points(const Sizes& sizes, const Level* levels, const T* grad_output, \
                                   const T* packed, int64_t first_head, const T* locations,       \
                                   const T* weights, T* grad_locations, T* grad_weights,          \
                                   int64_t begin, int64_t end) {                                  \
    const auto grid = grid_of<T>(sizes, levels);                                                  \
    differentiate_points(grid, shape_of(sizes), grad_output, packed, first_head, locations,       \
                         weights, grad_locations, grad_weights, begin, end);                      \
  }                                                                                               \
  TESSERA_SIMD_CLONES                                                                             \
  void deform_attn_backward_value(const Sizes& sizes, const Level* levels, const T* grad_output,  \
                                  const T* locations, const T* weights, T* grad_value,            \
                                  int64_t task_lanes, int64_t begin, int64_t end) {               \
    const auto grid = grid_of<T>(sizes, levels);                                                  \
    differentiate_value(grid, shape_of(sizes), grad_output, locations, weights, grad_value,       \
                        task_lanes, begin, end);                                                  \
  }

TESSERA_DEFORM_ATTN_KERNELS(StDeformAttnSizes, float)
TESSERA_DEFORM_ATTN_KERNELS(StDeformAttnSizes, double)
TESSERA_DEFORM_ATTN_KERNELS(MsDeformAttnSizes, float)
TESSERA_DEFORM_ATTN_KERNELS(MsDeformAttnSizes, double)

}  // namespace tessera::kernels
