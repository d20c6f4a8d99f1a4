#pragma once
// Sizes of the kernels' arrays, which are all dense and row major. Plain data: CUDA kernels take
// the same structs by value.

#include <cstdint>

namespace tessera::kernels {

/// Spatio-temporal deformable attention.
/// value [batch, frames*height*width, heads, dim], locations [batch, queries, heads, points, 3] as
/// (x, y, t), weights [batch, queries, heads, points], output [batch, queries, heads, dim].
struct StDeformAttnSizes {
  int64_t batch, frames, height, width, heads, dim, queries, points;
};

/// One feature level: its size, and the row of `value` where it starts.
struct Level {
  int64_t height, width, first_row;
};

/// Multi-scale deformable attention.
/// value [batch, rows, heads, dim], locations [batch, queries, heads, levels, points, 2] as (x, y),
/// weights [batch, queries, heads, levels, points], output [batch, queries, heads, dim].
struct MsDeformAttnSizes {
  int64_t batch, rows, heads, dim, queries, levels, points;
};

/// The columns of a deformable convolution of one image.
/// image [height, width, channels]; offset [offset_groups, taps, 2, positions] as (dy, dx); mask
/// [offset_groups, taps, positions] or null; columns [positions, taps, channels], where
/// taps = kernel_height * kernel_width and positions = output_height * output_width, row major.
struct DeformColumnsSizes {
  int64_t height, width, channels, offset_groups;
  int64_t kernel_height, kernel_width, output_height, output_width;
  int64_t stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
};

}  // namespace tessera::kernels
