#pragma once
// CPU kernels of the two deformable attentions, for float and double. They know no torch and no
// threads: the caller gives each call a range of tasks, and tasks write to disjoint memory, so any
// split over any number of threads gives the same bits. Nothing is stored per sample.
//
// Values are sampled from their packed form, see packed_heads.h. Sizes is StDeformAttnSizes, or
// MsDeformAttnSizes with `levels` pointing at its levels.

#include <algorithm>
#include <cstdint>

#include "core/ops/kernels/packed_heads.h"
#include "core/ops/kernels/sizes.h"

namespace tessera::kernels {

inline int64_t num_rows(const StDeformAttnSizes& s) {
  return s.frames * s.height * s.width;
}
inline int64_t num_rows(const MsDeformAttnSizes& s) {
  return s.rows;
}
inline int64_t points_per_query(const StDeformAttnSizes& s) {
  return s.points;
}
inline int64_t points_per_query(const MsDeformAttnSizes& s) {
  return s.levels * s.points;
}

/// Tasks of pack_heads: (batch, head).
template <typename Sizes>
int64_t num_heads(const Sizes& sizes) {
  return sizes.batch * sizes.heads;
}

/// Tasks of deform_attn_forward and deform_attn_backward_points: (batch, head, query), the query
/// fastest.
template <typename Sizes>
int64_t num_query_tasks(const Sizes& sizes) {
  return sizes.batch * sizes.heads * sizes.queries;
}

/// Lanes of channels that one task of deform_attn_backward_value takes: a whole head where that
/// gives every thread a task, since each task locates all points anew.
template <typename T, typename Sizes>
int64_t value_task_lanes(const Sizes& sizes, int64_t threads) {
  constexpr int64_t kMost = 4;
  const int64_t lanes = round_up_to_lanes<T>(sizes.dim) / kLanes<T>;
  const int64_t tasks_per_head = (threads - 1) / std::max<int64_t>(1, num_heads(sizes)) + 1;
  return std::clamp<int64_t>(lanes / tasks_per_head, 1, kMost);
}

/// Tasks of deform_attn_backward_value: (batch, head, block of channels).
template <typename T, typename Sizes>
int64_t num_value_tasks(const Sizes& sizes, int64_t task_lanes) {
  const int64_t lanes = round_up_to_lanes<T>(sizes.dim) / kLanes<T>;
  return num_heads(sizes) * ((lanes + task_lanes - 1) / task_lanes);
}

/// output = sum over points of weight * interpolated sample of value. `packed` holds the heads from
/// `first_head` on, of which the tasks must be.
#define TESSERA_DEFORM_ATTN_KERNELS(Sizes, T)                                                     \
  void deform_attn_forward(const Sizes& sizes, const Level* levels, const T* packed,              \
                           int64_t first_head, const T* locations, const T* weights, T* output,   \
                           int64_t begin, int64_t end);                                           \
  /** Gradients with respect to locations and weights. */                                         \
  void deform_attn_backward_points(const Sizes& sizes, const Level* levels, const T* grad_output, \
                                   const T* packed, int64_t first_head, const T* locations,       \
                                   const T* weights, T* grad_locations, T* grad_weights,          \
                                   int64_t begin, int64_t end);                                   \
  /** Gradient with respect to value, in value's own layout; every element is written. */         \
  void deform_attn_backward_value(const Sizes& sizes, const Level* levels, const T* grad_output,  \
                                  const T* locations, const T* weights, T* grad_value,            \
                                  int64_t task_lanes, int64_t begin, int64_t end);

TESSERA_DEFORM_ATTN_KERNELS(StDeformAttnSizes, float)
TESSERA_DEFORM_ATTN_KERNELS(StDeformAttnSizes, double)
TESSERA_DEFORM_ATTN_KERNELS(MsDeformAttnSizes, float)
TESSERA_DEFORM_ATTN_KERNELS(MsDeformAttnSizes, double)
#undef TESSERA_DEFORM_ATTN_KERNELS

}  // namespace tessera::kernels
