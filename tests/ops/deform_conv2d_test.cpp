#include "core/ops/deform_conv2d.h"

#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "core/ops/reference.h"
#include "tests/ops/attention_test_cases.h"
#include "tests/ops/gradcheck.h"

namespace tessera::test {
namespace {

struct ConvCase {
  int64_t batch, in_channels, out_channels, height, width;
  std::array<int64_t, 2> kernel;
  DeformConvOptions options;
  bool use_mask, use_bias;
};

/// How GoogleTest names a case.
void PrintTo(const ConvCase& c, std::ostream* out) {
  const auto& o = c.options;
  *out << c.batch << "x" << c.in_channels << "x" << c.height << "x" << c.width << " to "
       << c.out_channels << ", kernel " << c.kernel[0] << "x" << c.kernel[1] << ", stride "
       << o.stride[0] << "x" << o.stride[1] << ", padding " << o.padding[0] << "x" << o.padding[1]
       << ", dilation " << o.dilation[0] << "x" << o.dilation[1] << ", groups " << o.groups << ", "
       << o.offset_groups << (c.use_mask ? ", mask" : "") << (c.use_bias ? ", bias" : "");
}

// input, offset, weight, then mask and bias where used
std::vector<at::Tensor> random_inputs(const ConvCase& c, double offset_scale = 1.5) {
  const auto& o = c.options;
  const auto out = [&](int64_t size, size_t i) {
    return (size + 2 * o.padding[i] - o.dilation[i] * (c.kernel[i] - 1) - 1) / o.stride[i] + 1;
  };
  const int64_t taps = c.kernel[0] * c.kernel[1] * o.offset_groups;
  const int64_t out_h = out(c.height, 0), out_w = out(c.width, 1);
  std::vector<at::Tensor> inputs{
      at::randn({c.batch, c.in_channels, c.height, c.width}, at::kDouble),
      at::randn({c.batch, 2 * taps, out_h, out_w}, at::kDouble) * offset_scale,
      at::randn({c.out_channels, c.in_channels / o.groups, c.kernel[0], c.kernel[1]}, at::kDouble)};
  if (c.use_mask) inputs.push_back(at::rand({c.batch, taps, out_h, out_w}, at::kDouble));
  if (c.use_bias) inputs.push_back(at::randn({c.out_channels}, at::kDouble));
  return inputs;
}

template <typename Function>
at::Tensor call(Function function, const ConvCase& c, const std::vector<at::Tensor>& x) {
  return function(x[0], x[1], c.use_mask ? std::optional(x[3]) : std::nullopt, x[2],
                  c.use_bias ? std::optional(x.back()) : std::nullopt, c.options);
}

std::vector<at::Tensor> leaves_of(const std::vector<at::Tensor>& tensors, at::ScalarType type) {
  std::vector<at::Tensor> leaves;
  for (const auto& tensor : tensors) leaves.push_back(leaf(tensor.to(type)));
  return leaves;
}

class DeformConv2d : public testing::TestWithParam<ConvCase> {};

TEST_P(DeformConv2d, EqualsReference) {
  at::manual_seed(1);
  const ConvCase& c = GetParam();
  const auto inputs = random_inputs(c);
  const auto precise = leaves_of(inputs, at::kDouble), fast = leaves_of(inputs, at::kFloat);
  const at::Tensor expected = call(reference::deform_conv2d, c, precise);
  const at::Tensor grad_output = at::randn_like(expected);
  const auto expected_gradients = gradients(expected, grad_output, precise);
  const at::Tensor output = call(deform_conv2d, c, precise);
  const at::Tensor fast_output = call(deform_conv2d, c, fast);
  EXPECT_TRUE(all_close(output, expected, 1e-12));
  EXPECT_TRUE(all_close(fast_output, expected, 1e-4));
  const auto found = gradients(output, grad_output, precise);
  const auto fast_found = gradients(fast_output, grad_output.to(at::kFloat), fast);
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_TRUE(all_close(found[i], expected_gradients[i], 1e-12)) << "input " << i;
    EXPECT_TRUE(all_close(fast_found[i], expected_gradients[i], 2e-4)) << "input " << i;
  }
}

TEST_P(DeformConv2d, EqualsOrdinaryConvolutionForZeroOffsets) {
  at::manual_seed(2);
  const ConvCase& c = GetParam();
  auto inputs = random_inputs(c, /*offset_scale=*/0);
  if (c.use_mask) inputs[3].fill_(1);
  const auto& o = c.options;
  const at::Tensor expected =
      at::conv2d(inputs[0], inputs[2], c.use_bias ? std::optional(inputs.back()) : std::nullopt,
                 o.stride, o.padding, o.dilation, o.groups);
  EXPECT_TRUE(all_close(call(deform_conv2d, c, inputs), expected, 1e-12));
}

const auto kConvCases = testing::Values(
    ConvCase{2, 4, 3, 6, 5, {3, 3}, {.padding = {1, 1}}, false, false},
    ConvCase{1, 6, 4, 7, 8, {3, 3}, {.padding = {1, 1}}, true, true},
    ConvCase{
        2,
        12,
        6,
        9,
        7,
        {3, 2},
        {.stride = {2, 1}, .padding = {2, 1}, .dilation = {1, 2}, .groups = 2, .offset_groups = 3},
        true,
        false},
    ConvCase{1, 6, 6, 5, 5, {1, 1}, {.groups = 6, .offset_groups = 1}, false, true},
    // several blocks of channels, the last one not full
    ConvCase{1, 76, 4, 4, 5, {3, 3}, {.padding = {1, 1}, .offset_groups = 2}, true, true},
    ConvCase{17, 3, 5, 3, 4, {2, 2}, {}, false, true},  // a task for each image
    ConvCase{18, 4, 2, 3, 3, {3, 3}, {.padding = {1, 1}, .groups = 2}, true, false},
    ConvCase{1, 16, 24, 9, 13, {3, 3}, {.padding = {1, 1}}, false, true},  // many tiles
    ConvCase{2, 5, 7, 1, 11, {1, 3}, {.padding = {0, 2}, .dilation = {1, 2}}, true, true},
    ConvCase{3, 8, 33, 4, 3, {3, 3}, {.padding = {2, 2}, .offset_groups = 4}, false, false});
INSTANTIATE_TEST_SUITE_P(Cases, DeformConv2d, kConvCases);
// Weights that do not fit a cache: multiplied by the library.
INSTANTIATE_TEST_SUITE_P(LargeWeights, DeformConv2d,
                         testing::Values(ConvCase{
                             2, 130, 120, 5, 6, {3, 3}, {.padding = {1, 1}}, true, true}));

class DeformConv2dGradient : public testing::TestWithParam<ConvCase> {};

TEST_P(DeformConv2dGradient, EqualsCentralDifferences) {
  at::manual_seed(3);
  const ConvCase& c = GetParam();
  EXPECT_TRUE(gradcheck([&](const std::vector<at::Tensor>& x) { return call(deform_conv2d, c, x); },
                        random_inputs(c), 1e-6, 1e-5));
}

INSTANTIATE_TEST_SUITE_P(Cases, DeformConv2dGradient, kConvCases);

// A 1 x 1 kernel over one row of two pixels, with padding: the first and last taps are at -1 and 2.
TEST(DeformConv2dConvention, BorderGradientIsAChoice) {
  const auto input = at::tensor({5., 7.}).to(at::kDouble).view({1, 1, 1, 2});
  const auto weight = at::ones({1, 1, 1, 1}, at::kDouble);
  const auto slopes = [&](bool border_gradient) {
    const auto offset = leaf(at::zeros({1, 2, 1, 4}, at::kDouble));
    const auto output = deform_conv2d(input, offset, std::nullopt, weight, std::nullopt,
                                      {.padding = {0, 1}, .border_gradient = border_gradient});
    EXPECT_TRUE(all_close(output.view({4}), at::tensor({0., 5., 7., 0.}), 0));
    return gradients(output, at::ones_like(output), {offset})[0].select(1, 1).view({4});
  };
  EXPECT_TRUE(all_close(slopes(false), at::tensor({0., 2., -7., 0.}), 0));
  EXPECT_TRUE(all_close(slopes(true), at::tensor({5., 2., -7., 0.}), 0));
}

TEST(DeformConv2dConvention, NonFiniteOffsetsSampleZeroWithoutGradient) {
  const ConvCase c{1, 3, 2, 4, 4, {3, 3}, {.padding = {1, 1}}, true, false};
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity, 1e30, -1e30}) {
    at::manual_seed(4);
    auto leaves = leaves_of(random_inputs(c), at::kDouble);
    leaves[1] = leaf(at::full_like(leaves[1], bad));
    const at::Tensor output = call(deform_conv2d, c, leaves);
    EXPECT_TRUE(identical(output, at::zeros_like(output)));
    for (const auto& gradient : gradients(output, at::ones_like(output), leaves)) {
      EXPECT_TRUE(identical(gradient, at::zeros_like(gradient)));
    }
  }
}

TEST(DeformConv2dInputs, OtherLayoutsGiveTheSame) {
  at::manual_seed(5);
  const ConvCase c{2, 4, 3, 5, 6, {3, 3}, {.padding = {1, 1}}, true, true};
  const auto inputs = random_inputs(c);
  const auto dense = leaves_of(inputs, at::kDouble);
  const at::Tensor expected = call(deform_conv2d, c, dense);
  const at::Tensor grad_output = at::randn_like(expected);
  const auto expected_gradients = gradients(expected, grad_output, dense);
  std::vector<at::Tensor> odd;
  for (const auto& tensor : inputs) odd.push_back(scattered(tensor).requires_grad_());
  odd[0] = inputs[0].contiguous(at::MemoryFormat::ChannelsLast).requires_grad_();
  const at::Tensor output = call(deform_conv2d, c, odd);
  EXPECT_TRUE(all_close(output, expected, 1e-13));
  const auto found = gradients(output, scattered(grad_output), odd);
  for (size_t i = 0; i < odd.size(); ++i) {
    EXPECT_TRUE(all_close(found[i], expected_gradients[i], 1e-13)) << "input " << i;
  }
}

TEST(DeformConv2dInputs, NoImagesGiveEmptyOutput) {
  const ConvCase c{0, 4, 3, 5, 6, {3, 3}, {.padding = {1, 1}}, true, true};
  const auto leaves = leaves_of(random_inputs(c), at::kDouble);
  const at::Tensor output = call(deform_conv2d, c, leaves);
  EXPECT_EQ(output.sizes(), at::IntArrayRef({0, 3, 5, 6}));
  const auto found = gradients(output, at::ones_like(output), leaves);
  EXPECT_TRUE(identical(found[2], at::zeros_like(leaves[2])));
}

TEST(DeformConv2dInputs, WrongShapesAreRefused) {
  const ConvCase c{1, 4, 4, 5, 6, {3, 3}, {.padding = {1, 1}}, false, false};
  const auto x = random_inputs(c);
  const auto conv = [&](const DeformConvOptions& options) {
    return deform_conv2d(x[0], x[1], std::nullopt, x[2], std::nullopt, options);
  };
  EXPECT_NO_THROW(conv({.padding = {1, 1}}));
  EXPECT_THROW(conv({.padding = {0, 1}}), ShapeError);
  EXPECT_THROW(conv({.padding = {1, 1}, .groups = 2}), ShapeError);
  EXPECT_THROW(conv({.padding = {1, 1}, .groups = 3}), ShapeError);
  EXPECT_THROW(conv({.padding = {1, 1}, .offset_groups = 2}), ShapeError);
  EXPECT_THROW(conv({.padding = {1, 1}, .offset_groups = 0}), ShapeError);
  EXPECT_THROW(conv({.stride = {0, 1}, .padding = {1, 1}}), ShapeError);
  EXPECT_THROW(conv({.padding = {1, 1}, .dilation = {9, 1}}), ShapeError);
  EXPECT_THROW(deform_conv2d(x[0], x[1], x[1], x[2], std::nullopt, c.options), ShapeError);
  EXPECT_THROW(
      deform_conv2d(x[0], x[1], std::nullopt, x[2], at::zeros({3}, at::kDouble), c.options),
      ShapeError);
  EXPECT_THROW(
      deform_conv2d(x[0], x[1].to(at::kFloat), std::nullopt, x[2], std::nullopt, c.options),
      RuntimeError);
}

TEST(DeformConv2dBits, DoNotDependOnTheRun) {
  at::manual_seed(6);
  const ConvCase c{2, 64, 16, 12, 14, {3, 3}, {.padding = {1, 1}}, true, true};
  const auto leaves = leaves_of(random_inputs(c), at::kFloat);
  const at::Tensor first = call(deform_conv2d, c, leaves);
  const auto first_gradients = gradients(first, at::ones_like(first), leaves);
  for (int repeat = 0; repeat < 3; ++repeat) {
    const at::Tensor again = call(deform_conv2d, c, leaves);
    EXPECT_TRUE(identical(again, first));
    const auto found = gradients(again, at::ones_like(again), leaves);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_TRUE(identical(found[i], first_gradients[i])) << "input " << i;
    }
  }
}

TEST(DeformConv2dAutocast, ComputesHalfPrecisionInputsInFloat32) {
  at::manual_seed(7);
  const ConvCase c{1, 4, 3, 5, 6, {3, 3}, {.padding = {1, 1}}, true, true};
  std::vector<at::Tensor> half, full;
  for (const auto& tensor : random_inputs(c)) {
    half.push_back(tensor.to(at::kBFloat16));
    full.push_back(half.back().to(at::kFloat));
  }
  const at::Tensor expected = call(deform_conv2d, c, full);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor output = call(deform_conv2d, c, half);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_TRUE(identical(output, expected));
}

}  // namespace
}  // namespace tessera::test
