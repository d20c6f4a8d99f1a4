#include "bench/opponents.h"

#include <ATen/ATen.h>

namespace tessera::bench {
namespace {

constexpr int64_t kBilinear = 0;
constexpr int64_t kZeros = 0;

}  // namespace

at::Tensor st_deform_attn_by_grid_sample(const at::Tensor& value, std::array<int64_t, 3> shape_thw,
                                         const at::Tensor& sampling_locations,
                                         const at::Tensor& attention_weights) {
  const int64_t batch = value.size(0), heads = value.size(2), dim = value.size(3);
  const int64_t queries = sampling_locations.size(1), points = sampling_locations.size(3);
  const at::Tensor volume =
      value.permute({0, 2, 3, 1})
          .reshape({batch * heads, dim, shape_thw[0], shape_thw[1], shape_thw[2]});
  const at::Tensor grid = (2 * sampling_locations - 1)
                              .permute({0, 2, 1, 3, 4})
                              .reshape({batch * heads, queries, points, 1, 3});
  const at::Tensor samples = at::grid_sampler(volume, grid, kBilinear, kZeros, false).squeeze(-1);
  const at::Tensor weights =
      attention_weights.permute({0, 2, 1, 3}).reshape({batch * heads, 1, queries, points});
  return (samples * weights)
      .sum(-1)
      .view({batch, heads * dim, queries})
      .transpose(1, 2)
      .contiguous();
}

at::Tensor dense_attention(const at::Tensor& query, const at::Tensor& key,
                           const at::Tensor& value) {
  return at::scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2),
                                          value.transpose(1, 2))
      .transpose(1, 2)
      .flatten(2);
}

at::Tensor ms_deform_attn_by_grid_sample(const at::Tensor& value,
                                         const std::vector<std::array<int64_t, 2>>& shapes_hw,
                                         const at::Tensor& sampling_locations,
                                         const at::Tensor& attention_weights) {
  const int64_t batch = value.size(0), heads = value.size(2), dim = value.size(3);
  const int64_t queries = sampling_locations.size(1), points = sampling_locations.size(4);
  const auto levels = static_cast<int64_t>(shapes_hw.size());
  const at::Tensor grids = 2 * sampling_locations - 1;
  std::vector<at::Tensor> samples;
  int64_t first_row = 0;
  for (int64_t level = 0; level < levels; ++level) {
    const auto [height, width] = shapes_hw[level];
    const at::Tensor plane = value.narrow(1, first_row, height * width)
                                 .flatten(2)
                                 .transpose(1, 2)
                                 .reshape({batch * heads, dim, height, width});
    const at::Tensor grid = grids.select(3, level).transpose(1, 2).flatten(0, 1);
    samples.push_back(at::grid_sampler(plane, grid, kBilinear, kZeros, false));
    first_row += height * width;
  }
  const at::Tensor weights =
      attention_weights.transpose(1, 2).reshape({batch * heads, 1, queries, levels * points});
  return (at::stack(samples, -2).flatten(-2) * weights)
      .sum(-1)
      .view({batch, heads * dim, queries})
      .transpose(1, 2)
      .contiguous();
}

at::Tensor deform_conv2d_by_columns(const at::Tensor& input, const at::Tensor& offset,
                                    const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t batch = input.size(0), channels = input.size(1);
  const int64_t height = input.size(2), width = input.size(3);
  const int64_t kernel_height = weight.size(2), kernel_width = weight.size(3);
  const int64_t taps = kernel_height * kernel_width;
  const auto options = input.options();
  const at::Tensor y = at::arange(height, options).view({1, 1, height, 1});
  const at::Tensor x = at::arange(width, options).view({1, 1, 1, width});
  const at::Tensor tap_y = (at::arange(kernel_height, options) - kernel_height / 2)
                               .repeat_interleave(kernel_width)
                               .view({1, taps, 1, 1});
  const at::Tensor tap_x = (at::arange(kernel_width, options) - kernel_width / 2)
                               .repeat({kernel_height})
                               .view({1, taps, 1, 1});
  const at::Tensor offsets = offset.view({batch, taps, 2, height, width});
  const at::Tensor grid_y = (2 * (y + tap_y + offsets.select(2, 0)) + 1) / height - 1;
  const at::Tensor grid_x = (2 * (x + tap_x + offsets.select(2, 1)) + 1) / width - 1;
  const at::Tensor grid = at::stack({grid_x, grid_y}, -1).view({batch, taps * height, width, 2});
  const at::Tensor columns = at::grid_sampler(input, grid, kBilinear, kZeros, false)
                                 .view({batch, channels * taps, height * width});
  return (at::matmul(weight.flatten(1), columns) + bias.view({-1, 1}))
      .view({batch, weight.size(0), height, width});
}

}  // namespace tessera::bench
