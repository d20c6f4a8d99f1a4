#pragma once

#include <ATen/core/Tensor.h>

#include "core/export.h"

namespace tessera {

/// [..,4] cx cy w h -> x0 y0 x1 y1.
TESSERA_API at::Tensor cxcywh_to_xyxy(const at::Tensor& boxes);

/// log(x / (1 - x)) with x kept within [epsilon, 1 - epsilon].
TESSERA_API at::Tensor inverse_sigmoid(const at::Tensor& x, double epsilon = 1e-5);

/// IoU and generalised IoU (Rezatofighi et al. 2019) of boxes x0 y0 x1 y1 that broadcast against
/// each other, [..,4] and [..,4] -> [..]. `epsilon` is added to numerators and denominators; 1e-6
/// is VisTR's, with which two empty boxes have IoU 1.
struct BoxOverlap {
  at::Tensor iou, giou;
};
TESSERA_API BoxOverlap box_overlap(const at::Tensor& a_xyxy, const at::Tensor& b_xyxy,
                                   double epsilon = 1e-6);

}  // namespace tessera
