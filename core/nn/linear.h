#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/relu.h>
#include <torch/nn/modules/linear.h>

#include <vector>

namespace tessera {

enum class AfterLinear { nothing, relu };

/// As at::linear: x [...,in], weight [out,in], bias [out] or undefined -> [...,out]. In float32 on
/// a CPU it is a 1x1 convolution over a row of pixels, which oneDNN computes: at::linear takes
/// MKL's product, whose kernels for processors of other makers have no AVX-512 and need twice the
/// time, forward and backward. A ReLU after it overwrites its output, which nobody needs.
inline at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         AfterLinear after = AfterLinear::nothing) {
  const auto finished = [after](at::Tensor y) {
    return after == AfterLinear::relu ? y.relu_() : y;
  };
  constexpr int64_t kFewRows = 64;  // where setting a convolution up takes longer than it saves
  const int64_t in = weight.size(1), rows = x.numel() / in;
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat ||
      rows < kFewRows || at::autocast::is_autocast_enabled(at::kCPU))
    return finished(at::linear(x, weight, bias));
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  const at::Tensor pixels = x.reshape({1, 1, rows, in}).permute({0, 3, 1, 2});  // channels last
  return finished(at::conv2d(pixels, weight.unsqueeze(-1).unsqueeze(-1), bias))
      .permute({0, 2, 3, 1})
      .reshape(sizes);
}

inline at::Tensor linear(const torch::nn::Linear& layer, const at::Tensor& x,
                         AfterLinear after = AfterLinear::nothing) {
  return linear(x, layer->weight, layer->bias, after);
}

}  // namespace tessera
