#pragma once

#include <ATen/core/Tensor.h>

#include <compare>
#include <string>

#include "core/config/schema.h"
#include "core/export.h"
#include "core/interfaces/part.h"

namespace tessera {

/// Where a mask loss looks (PointRend, Kirillov et al. 2020, 3.1): at the most uncertain of many
/// random points, and at some random ones.
struct PointSampling {
  int64_t num_points = 12544;      // P of each (instance, frame); 112 x 112
  double oversample_ratio = 3.0;   // candidates, as a multiple of P
  double importance_ratio = 0.75;  // part of P that are the most uncertain candidates

  int64_t num_candidates() const {
    return static_cast<int64_t>(static_cast<double>(num_points) * oversample_ratio);
  }
  int64_t num_uncertain() const {
    return static_cast<int64_t>(static_cast<double>(num_points) * importance_ratio);
  }
  auto operator<=>(const PointSampling&) const = default;
  static void describe(Schema<PointSampling>& schema);
};

/// Points uniform in 0..1, [count,num_points,2] as `like`: from the context's PointSource if it has
/// one; else a function of `clip_key` (ClipTargets::random_key) and `use`; else, if the key is 0,
/// from the context's generator. `use` names the caller; ForwardContext::prefix comes before it.
TESSERA_API at::Tensor uniform_points(const ForwardContext& context, const std::string& use,
                                      int64_t count, int64_t num_points, const at::Tensor& like,
                                      uint64_t clip_key = 0);

/// Bilinear samples, zero outside; 0..1 spans the outer edges of a map.
/// in: maps [N,C,h,w] float, points [N,P,2] (x, y). out: [N,C,P].
TESSERA_API at::Tensor sample_at(const at::Tensor& maps, const at::Tensor& points);

/// Masks on cells of `stride` pixels, bilinear without antialiasing.
/// in: masks [N,T,H,W] float. out: [N,T,ceil(H/stride),ceil(W/stride)] in 0..1.
TESSERA_API at::Tensor shrunk_masks(const at::Tensor& masks, int64_t stride);

}  // namespace tessera
