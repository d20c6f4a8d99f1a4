#pragma once
// Numerical check of gradients, which LibTorch's C++ side lacks, and comparisons of tensors.

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>
#include <vector>

namespace tessera::test {

/// A detached copy that requires a gradient.
inline at::Tensor leaf(const at::Tensor& tensor) {
  return tensor.detach().clone().requires_grad_();
}

/// Gradients of sum(output * grad_output) with respect to `inputs`, zeros where there is none.
inline std::vector<at::Tensor> gradients(const at::Tensor& output, const at::Tensor& grad_output,
                                         const std::vector<at::Tensor>& inputs) {
  auto found = torch::autograd::grad({output}, inputs, {grad_output}, /*retain_graph=*/false,
                                     /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!found[i].defined()) found[i] = at::zeros_like(inputs[i]);
  }
  return found;
}

/// Compares autograd's gradients of sum(function(inputs) * fixed random numbers) with central
/// differences, for every element of every input. Inputs are float64 tensors; the function must
/// be smooth within `step` of them. An element fails where it differs by more than
/// tolerance * (1 + |expected|).
inline testing::AssertionResult gradcheck(
    const std::function<at::Tensor(const std::vector<at::Tensor>&)>& function,
    std::vector<at::Tensor> inputs, double step = 1e-6, double tolerance = 1e-6) {
  for (at::Tensor& input : inputs) {
    if (input.scalar_type() != at::kDouble) {
      return testing::AssertionFailure() << "gradcheck needs float64 inputs";
    }
    input = leaf(input.contiguous());
  }
  const at::Tensor output = function(inputs);
  const at::Tensor weights = at::randn_like(output);
  const std::vector<at::Tensor> found = gradients(output, weights, inputs);
  c10::AutoGradMode no_grad(false);
  const auto objective = [&] { return (function(inputs) * weights).sum().item<double>(); };
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto* element = inputs[i].data_ptr<double>();
    const at::Tensor dense = found[i].contiguous();
    for (int64_t j = 0; j < inputs[i].numel(); ++j) {
      const double kept = element[j];
      element[j] = kept + step;
      const double above = objective();
      element[j] = kept - step;
      const double below = objective();
      element[j] = kept;
      const double expected = (above - below) / (2 * step);
      const double got = dense.data_ptr<double>()[j];
      if (!(std::abs(got - expected) <= tolerance * (1 + std::abs(expected)))) {
        return testing::AssertionFailure() << "input " << i << ", element " << j << ": gradient "
                                           << got << ", central difference " << expected;
      }
    }
  }
  return testing::AssertionSuccess();
}

/// Succeeds where both have one shape and differ nowhere by more than tolerance * (1 + |expected|).
inline testing::AssertionResult all_close(const at::Tensor& found, const at::Tensor& expected,
                                          double tolerance) {
  if (found.sizes() != expected.sizes()) {
    return testing::AssertionFailure() << "shape " << found.sizes() << ", not " << expected.sizes();
  }
  if (found.numel() == 0) return testing::AssertionSuccess();
  const at::Tensor wanted = expected.detach().to(at::kCPU, at::kDouble);
  const at::Tensor error =
      (found.detach().to(at::kCPU, at::kDouble) - wanted).abs() / (1 + wanted.abs());
  const double worst = error.max().item<double>();  // NaN if any is
  if (worst <= tolerance) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "differs by up to " << worst << ", more than " << tolerance;
}

/// Succeeds where both have the same shape and the same values (NaN equals nothing).
inline testing::AssertionResult identical(const at::Tensor& found, const at::Tensor& expected) {
  if (at::equal(found, expected)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "the tensors differ";
}
}  // namespace tessera::test
