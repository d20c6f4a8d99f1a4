#include "core/nn/deformable_projections.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "core/nn/feed_forward.h"
#include "core/nn/linear.h"
#include "core/nn/precision.h"

namespace tessera {
namespace {

/// Where a head looks before it has learnt anything: (x, y) on the square around the origin with
/// sides of 2, heads evenly around it (A.4).
std::array<double, 2> direction(int64_t head, int64_t num_heads) {
  const double angle =
      2 * std::numbers::pi * static_cast<double>(head) / static_cast<double>(num_heads);
  const double x = std::cos(angle), y = std::sin(angle);
  const double scale = std::max(std::abs(x), std::abs(y));
  return {x / scale, y / scale};
}

}  // namespace

DeformableProjections::DeformableProjections(torch::nn::Module& owner, const AttentionSpec& spec,
                                             const Sizes& sizes)
    : sizes_(sizes),
      sampling_offsets_(spec.dim,
                        sizes.num_heads * sizes.num_levels * sizes.num_points * sizes.num_axes),
      attention_weights_(spec.dim, sizes.num_heads * sizes.num_levels * sizes.num_points),
      value_proj_(spec.dim, spec.dim) {
  if (spec.dim % sizes.num_heads != 0)
    throw ConfigError("num_heads: expected a divisor of the width " + std::to_string(spec.dim) +
                      ", got " + std::to_string(sizes.num_heads) + ".");
  owner.register_module("sampling_offsets", sampling_offsets_);
  owner.register_module("attention_weights", attention_weights_);
  owner.register_module("value_proj", value_proj_);
  for (int64_t i = 0; i < spec.num_outputs; ++i) {
    output_proj_.emplace_back(spec.dim, spec.dim);
    xavier_reset(output_proj_.back());
    owner.register_module(i == 0 ? "output_proj" : "output_proj_" + std::to_string(i),
                          output_proj_.back());
  }
  reset();
}

/// Point k of a head begins k + 1 cells away in the head's direction. With three axes a third of
/// the points each look back, at the frame and forward, and every three share a distance.
void DeformableProjections::reset() {
  const torch::NoGradGuard no_grad;
  sampling_offsets_->weight.zero_();
  const at::Tensor bias = sampling_offsets_->bias.view(
      {sizes_.num_heads, sizes_.num_levels, sizes_.num_points, sizes_.num_axes});
  const bool has_time = sizes_.num_axes == 3;
  for (int64_t m = 0; m < sizes_.num_heads; ++m) {
    const auto [x, y] = direction(m, sizes_.num_heads);
    for (int64_t k = 0; k < sizes_.num_points; ++k) {
      const auto distance = static_cast<double>((has_time ? k / 3 : k) + 1);
      const at::Tensor point = bias.select(0, m).select(1, k);  // [L,A]
      point.select(1, 0).fill_(x * distance);
      point.select(1, 1).fill_(y * distance);
      if (has_time) point.select(1, 2).fill_(static_cast<double>((k + 1) % 3 - 1));
    }
  }
  attention_weights_->weight.zero_();
  attention_weights_->bias.zero_();
  xavier_reset(value_proj_);
}

at::Tensor DeformableProjections::offsets(const at::Tensor& query) {
  return to_full_precision(linear(sampling_offsets_, query))
      .unflatten(-1, {sizes_.num_heads, sizes_.num_levels, sizes_.num_points, sizes_.num_axes});
}

at::Tensor DeformableProjections::weights(const at::Tensor& query) {
  return linear(attention_weights_, query)
      .unflatten(-1, {sizes_.num_heads, sizes_.num_levels * sizes_.num_points})
      .softmax(-1)
      .unflatten(-1, {sizes_.num_levels, sizes_.num_points});
}

at::Tensor DeformableProjections::values(const at::Tensor& cells) {
  return linear(value_proj_, cells);
}

at::Tensor DeformableProjections::values(const Memory& memory) {
  const at::Tensor projected = linear(value_proj_, memory.tokens);
  return memory.padding_mask.defined()
             ? projected.masked_fill(memory.padding_mask.unsqueeze(-1), 0.0)
             : projected;
}

std::vector<at::Tensor> DeformableProjections::outputs(const at::Tensor& read) {
  std::vector<at::Tensor> projected;
  for (auto& projection : output_proj_) projected.push_back(linear(projection, read));
  return projected;
}

}  // namespace tessera
