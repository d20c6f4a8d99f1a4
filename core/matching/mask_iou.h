#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/export.h"

namespace tessera {

/// IoU of the masks of two windows' tracks, summed over the `overlap` frames that end the first and
/// begin the second window; 0 where both are empty.
/// in: logits [P,T1,h,w] and [Q,T2,h,w], a pixel is in where > 0. out: [P,Q] float.
/// Throws ShapeError where sizes differ or a window has fewer than `overlap` frames.
TESSERA_API at::Tensor overlap_mask_iou(const at::Tensor& before, const at::Tensor& next,
                                        int64_t overlap);

}  // namespace tessera
