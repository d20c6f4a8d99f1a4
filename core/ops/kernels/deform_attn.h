#pragma once
// CPU kernels of the two deformable attentions, for float and double. They know no torch and no
// threads: the caller gives each call a range of tasks, and tasks write to disjoint memory, so any
// split over any number of threads gives the same bits.

#include "core/ops/kernels/sizes.h"

namespace tessera::kernels {

/// Tasks of a forward pass: (batch, head, query), the query fastest; each writes `dim` outputs.
template <typename Sizes>
inline int64_t num_forward_tasks(const Sizes& sizes) {
  return sizes.batch * sizes.heads * sizes.queries;
}

/// Tasks of a backward pass: (batch, head); each owns that head's part of every gradient.
template <typename Sizes>
inline int64_t num_backward_tasks(const Sizes& sizes) {
  return sizes.batch * sizes.heads;
}

/// output = sum over points of weight * trilinear sample of value; see StDeformAttnSizes.
void st_deform_attn_forward(const StDeformAttnSizes& sizes, const float* value,
                            const float* locations, const float* weights, float* output,
                            int64_t begin, int64_t end);
void st_deform_attn_forward(const StDeformAttnSizes& sizes, const double* value,
                            const double* locations, const double* weights, double* output,
                            int64_t begin, int64_t end);

/// Gradients with respect to value (which the caller has set to zero), locations and weights.
void st_deform_attn_backward(const StDeformAttnSizes& sizes, const float* grad_output,
                             const float* value, const float* locations, const float* weights,
                             float* grad_value, float* grad_locations, float* grad_weights,
                             int64_t begin, int64_t end);
void st_deform_attn_backward(const StDeformAttnSizes& sizes, const double* grad_output,
                             const double* value, const double* locations, const double* weights,
                             double* grad_value, double* grad_locations, double* grad_weights,
                             int64_t begin, int64_t end);

/// output = sum over levels and points of weight * bilinear sample; see MsDeformAttnSizes.
void ms_deform_attn_forward(const MsDeformAttnSizes& sizes, const Level* levels, const float* value,
                            const float* locations, const float* weights, float* output,
                            int64_t begin, int64_t end);
void ms_deform_attn_forward(const MsDeformAttnSizes& sizes, const Level* levels,
                            const double* value, const double* locations, const double* weights,
                            double* output, int64_t begin, int64_t end);

/// Gradients with respect to value (which the caller has set to zero), locations and weights.
void ms_deform_attn_backward(const MsDeformAttnSizes& sizes, const Level* levels,
                             const float* grad_output, const float* value, const float* locations,
                             const float* weights, float* grad_value, float* grad_locations,
                             float* grad_weights, int64_t begin, int64_t end);
void ms_deform_attn_backward(const MsDeformAttnSizes& sizes, const Level* levels,
                             const double* grad_output, const double* value,
                             const double* locations, const double* weights, double* grad_value,
                             double* grad_locations, double* grad_weights, int64_t begin,
                             int64_t end);

}  // namespace tessera::kernels
