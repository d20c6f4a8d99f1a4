#pragma once

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mkldnn_convolution.h>
#include <ATen/ops/relu.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <vector>

namespace tessera {

enum class AfterLinear { nothing, relu };

/// As at::linear: x [...,in], weight [out,in], bias [out] or undefined -> [...,out]. Large products
/// of float32 on a CPU are 1x1 convolutions over a row of pixels, which oneDNN computes: at::linear
/// takes MKL's product, whose kernels for processors of other makers have no AVX-512 and need up to
/// twice the time, forward and backward. A ReLU after it overwrites its output, which nobody needs.
inline at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         AfterLinear after = AfterLinear::nothing) {
  const auto finished = [after](at::Tensor y) {
    return after == AfterLinear::relu ? y.relu_() : y;
  };
  // Below, setting a convolution up takes longer than it saves.
  constexpr int64_t kLargeProduct = int64_t{1} << 23;
  const int64_t in = weight.size(1), rows = x.numel() / std::max<int64_t>(in, 1);
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat ||
      rows * weight.numel() < kLargeProduct || !at::globalContext().hasMKLDNN() ||
      !at::globalContext().userEnabledMkldnn() || at::autocast::is_autocast_enabled(at::kCPU))
    return finished(at::linear(x, weight, bias));
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  const at::Tensor pixels = x.reshape({1, 1, rows, in}).permute({0, 3, 1, 2});  // channels last
  // By its name: at::conv2d takes it for more than one thread only.
  return finished(at::mkldnn_convolution(pixels, weight.unsqueeze(-1).unsqueeze(-1), bias,
                                         /*padding=*/{0, 0}, /*stride=*/{1, 1},
                                         /*dilation=*/{1, 1}, /*groups=*/1))
      .permute({0, 2, 3, 1})
      .reshape(sizes);
}

inline at::Tensor linear(const torch::nn::Linear& layer, const at::Tensor& x,
                         AfterLinear after = AfterLinear::nothing) {
  return linear(x, layer->weight, layer->bias, after);
}

}  // namespace tessera
