#pragma once
// The kernels of this folder as their formulas say it: one sample at a time, no vectors, no
// packing. Slow. The tests hold the kernels against them.

#include <algorithm>
#include <cstdint>

#include "core/ops/kernels/sampling_grid.h"
#include "core/ops/kernels/sizes.h"
#include "core/ops/kernels/tap.h"

namespace tessera::kernels::plain {

/// Adds `weight` times the sample at `cell` of a plane, whose rows are `stride` apart, to out
/// [dim].
template <typename T>
void add_plane_sample(const PlaneCell<T>& cell, const T* plane, int64_t stride, int64_t dim,
                      T weight, T* out) {
  if (!cell.inside) return;
  for (int c = 0; c < 4; ++c) {
    if (cell.row[c] < 0) continue;
    for (int64_t d = 0; d < dim; ++d) {
      out[d] += weight * cell.weight[c] * plane[cell.row[c] * stride + d];
    }
  }
}

/// Adds to grad_plane what grad_out [dim] means for it. Returns the derivative by `weight` and the
/// slopes per pixel, not multiplied by `weight`.
template <typename T>
PlaneSample<T> add_plane_gradients(const PlaneCell<T>& cell, const T* plane, const T* grad_out,
                                   int64_t stride, int64_t dim, T weight, T* grad_plane) {
  T dots[4] = {};
  if (!cell.inside) return {};
  for (int c = 0; c < 4; ++c) {
    if (cell.row[c] < 0) continue;
    for (int64_t d = 0; d < dim; ++d) {
      dots[c] += plane[cell.row[c] * stride + d] * grad_out[d];
      grad_plane[cell.row[c] * stride + d] += weight * cell.weight[c] * grad_out[d];
    }
  }
  return interpolate(cell, dots);
}

/// Arrays as StDeformAttnSizes says. With grad_output null: output, which must be zero. Else: the
/// gradients, of which grad_value must be zero.
template <typename T>
void st_deform_attn(const StDeformAttnSizes& s, const T* value, const T* locations,
                    const T* weights, T* output, const T* grad_output, T* grad_value,
                    T* grad_locations, T* grad_weights) {
  const int64_t stride = s.heads * s.dim;
  const int64_t frame = s.height * s.width * stride;
  for (int64_t k = 0; k < s.batch * s.queries * s.heads * s.points; ++k) {
    const int64_t slot = k / s.points;
    const int64_t head = slot / s.heads / s.queries * s.frames * frame + slot % s.heads * s.dim;
    const T* at = locations + 3 * k;
    const auto t = locate(to_pixel(at[2], s.frames), s.frames);
    PlaneCell<T> cell =
        locate_in_plane(to_pixel(at[0], s.width), to_pixel(at[1], s.height), s.height, s.width);
    cell.inside = cell.inside && t.inside();
    PlaneSample<T> sample[2] = {};
    for (int i = 0; i < 2; ++i) {
      if (!(i == 0 ? t.has_low : t.has_high)) continue;
      const T weight = weights[k] * (i == 0 ? T(1) - t.fraction : t.fraction);
      const int64_t plane = head + (t.low + i) * frame;
      if (grad_output == nullptr) {
        add_plane_sample(cell, value + plane, stride, s.dim, weight, output + slot * s.dim);
      } else {
        sample[i] = add_plane_gradients(cell, value + plane, grad_output + slot * s.dim, stride,
                                        s.dim, weight, grad_value + plane);
      }
    }
    if (grad_output == nullptr) continue;
    const T low = T(1) - t.fraction, high = t.fraction;
    grad_weights[k] = low * sample[0].value + high * sample[1].value;
    grad_locations[3 * k] =
        weights[k] * static_cast<T>(s.width) * (low * sample[0].slope_x + high * sample[1].slope_x);
    grad_locations[3 * k + 1] = weights[k] * static_cast<T>(s.height) *
                                (low * sample[0].slope_y + high * sample[1].slope_y);
    grad_locations[3 * k + 2] =
        weights[k] * static_cast<T>(s.frames) * (sample[1].value - sample[0].value);
  }
}

/// As st_deform_attn, for arrays as MsDeformAttnSizes says.
template <typename T>
void ms_deform_attn(const MsDeformAttnSizes& s, const Level* levels, const T* value,
                    const T* locations, const T* weights, T* output, const T* grad_output,
                    T* grad_value, T* grad_locations, T* grad_weights) {
  const int64_t stride = s.heads * s.dim;
  for (int64_t k = 0; k < s.batch * s.queries * s.heads * s.levels * s.points; ++k) {
    const int64_t slot = k / s.points / s.levels;
    const Level& level = levels[k / s.points % s.levels];
    const int64_t plane =
        (slot / s.heads / s.queries * s.rows + level.first_row) * stride + slot % s.heads * s.dim;
    const T* at = locations + 2 * k;
    const PlaneCell<T> cell = locate_in_plane(
        to_pixel(at[0], level.width), to_pixel(at[1], level.height), level.height, level.width);
    if (grad_output == nullptr) {
      add_plane_sample(cell, value + plane, stride, s.dim, weights[k], output + slot * s.dim);
      continue;
    }
    const PlaneSample<T> sample =
        add_plane_gradients(cell, value + plane, grad_output + slot * s.dim, stride, s.dim,
                            weights[k], grad_value + plane);
    grad_weights[k] = sample.value;
    grad_locations[2 * k] = weights[k] * sample.slope_x * static_cast<T>(level.width);
    grad_locations[2 * k + 1] = weights[k] * sample.slope_y * static_cast<T>(level.height);
  }
}

/// Arrays as DeformColumnsSizes says. With grad_columns null: columns, which must be zero. Else:
/// the gradients, of which grad_image must be zero; `mask` and `grad_mask` may both be null.
template <typename T>
void deform_columns(const DeformColumnsSizes& s, Border border, const T* image, const T* offset,
                    const T* mask, T* columns, const T* grad_columns, T* grad_image, T* grad_offset,
                    T* grad_mask) {
  const int64_t positions = s.output_height * s.output_width;
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t dim = s.channels / s.offset_groups;
  for (int64_t i = 0; i < s.offset_groups * taps * positions; ++i) {
    const int64_t position = i % positions, tap = i / positions % taps, g = i / positions / taps;
    const T scale = tap_mask(s, mask, g, tap, position);
    const int64_t column = (position * taps + tap) * s.channels + g * dim;
    const auto cell = locate_tap(s, offset, g, tap, position, border);
    if (grad_columns == nullptr) {
      add_plane_sample(cell, image + g * dim, s.channels, dim, scale, columns + column);
      continue;
    }
    const PlaneSample<T> sample = add_plane_gradients(cell, image + g * dim, grad_columns + column,
                                                      s.channels, dim, scale, grad_image + g * dim);
    const int64_t dy = tap_offset_index(s, g, tap, position);
    grad_offset[dy] = scale * sample.slope_y;
    grad_offset[dy + positions] = scale * sample.slope_x;
    if (mask != nullptr) grad_mask[i] = sample.value;
  }
}

}  // namespace tessera::kernels::plain
