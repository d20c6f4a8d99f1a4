// The CUDA kernels against the references, at the sizes of tests/kernels/cuda_kernels_test.cpp.
// Skipped, visibly, where the CUDA library was not built or there is no device.

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/ops/deform_conv2d.h"
#include "core/ops/ms_deform_attn.h"
#include "core/ops/reference.h"
#include "core/ops/st_deform_attn.h"
#include "tests/ops/attention_test_cases.h"
#include "tests/ops/gradcheck.h"

namespace tessera::test {
namespace {

// Before main: LibTorch decides once, when first asked, whether CUDA is there.
const void* const kCudaLibrary = dlopen("libtessera_core_cuda.so", RTLD_NOW | RTLD_GLOBAL);

// Reproducible results for a scope.
class Deterministic {
 public:
  Deterministic() { at::globalContext().setDeterministicAlgorithms(true, false); }
  ~Deterministic() { at::globalContext().setDeterministicAlgorithms(before_, false); }
  Deterministic(const Deterministic&) = delete;
  Deterministic& operator=(const Deterministic&) = delete;

 private:
  bool before_ = at::globalContext().deterministicAlgorithms();
};

struct Tolerances {
  at::ScalarType type;
  double output, gradients;
};

class GpuOps : public testing::Test {
 protected:
  void SetUp() override {
    if (kCudaLibrary == nullptr) GTEST_SKIP() << "libtessera_core_cuda.so cannot be loaded";
    if (!at::hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0)
      GTEST_SKIP() << "no CUDA device";
    at::manual_seed(1);
  }

  // Runs `kernel` on the device in both precisions, with atomics and in order, and holds it against
  // `plain` on the CPU; in order, a second run must give the same bits.
  template <typename Kernel, typename Plain>
  static void expect_equal(Kernel kernel, Plain plain, const std::vector<at::Tensor>& inputs) {
    std::vector<at::Tensor> leaves;
    for (const auto& input : inputs) leaves.push_back(leaf(input));
    const at::Tensor expected = plain(leaves);
    const at::Tensor grad_output = at::randn_like(expected);
    const auto expected_gradients = gradients(expected, grad_output, leaves);
    for (const auto& [type, tolerance] : {std::pair(at::kDouble, 1e-11), {at::kFloat, 2e-4}}) {
      const auto run = [&, type = type] {
        std::vector<at::Tensor> moved;
        for (const auto& input : inputs) moved.push_back(leaf(input.to(at::kCUDA, type)));
        const at::Tensor output = kernel(moved);
        auto found = gradients(output, grad_output.to(at::kCUDA, type), moved);
        found.push_back(output.detach());
        return found;
      };
      const auto added = run();
      const Deterministic deterministic;
      const auto ordered = run(), again = run();
      for (const auto* found : {&added, &ordered}) {
        EXPECT_TRUE(all_close(found->back(), expected, tolerance)) << type;
        for (size_t i = 0; i < inputs.size(); ++i) {
          EXPECT_TRUE(all_close((*found)[i], expected_gradients[i], tolerance))
              << type << " input " << i << (found == &ordered ? ", in order" : "");
        }
      }
      for (size_t i = 0; i < ordered.size(); ++i) {
        EXPECT_TRUE(identical(again[i], ordered[i])) << type << " result " << i;
      }
    }
  }

  // Values and outputs in half precision, locations and weights in float32, against the plain form
  // of the rounded values.
  template <typename Kernel, typename Plain>
  static void expect_equal_in_half(Kernel kernel, Plain plain, const AttentionInputs& in) {
    for (const Tolerances& t :
         {Tolerances{at::kHalf, 2e-3, 1e-3}, Tolerances{at::kBFloat16, 1.6e-2, 1e-3}}) {
      const at::Tensor value = in.value.to(t.type);
      const std::vector<at::Tensor> wide = {leaf(value.to(at::kDouble)),
                                            leaf(in.locations.to(at::kFloat).to(at::kDouble)),
                                            leaf(in.weights.to(at::kFloat).to(at::kDouble))};
      const at::Tensor expected = plain(wide);
      const at::Tensor grad_output = at::randn_like(expected).to(t.type);
      const auto expected_gradients = gradients(expected, grad_output.to(at::kDouble), wide);
      for (const bool in_order : {false, true}) {
        at::globalContext().setDeterministicAlgorithms(in_order, false);
        const std::vector<at::Tensor> moved = {leaf(value.to(at::kCUDA)),
                                               leaf(in.locations.to(at::kCUDA, at::kFloat)),
                                               leaf(in.weights.to(at::kCUDA, at::kFloat))};
        const at::Tensor output = kernel(moved);
        EXPECT_EQ(output.scalar_type(), t.type);
        EXPECT_TRUE(all_close(output, expected, t.output)) << t.type;
        const auto found = gradients(output, grad_output.to(at::kCUDA), moved);
        EXPECT_TRUE(all_close(found[0], expected_gradients[0], t.output)) << t.type;
        EXPECT_TRUE(all_close(found[1], expected_gradients[1], t.gradients)) << t.type;
        EXPECT_TRUE(all_close(found[2], expected_gradients[2], t.gradients)) << t.type;
      }
      at::globalContext().setDeterministicAlgorithms(false, false);
    }
  }
};

const std::vector<StSizes> kStSizes = {
    {2, {3, 4, 5}, 3, 7, 6, 5},      {1, {2, 3, 3}, 2, 48, 5, 33},  {1, {1, 1, 1}, 1, 1, 1, 1},
    {1, {2, 2, 2}, 1, 81, 3, 16},    {1, {2, 3, 4}, 8, 32, 7, 4},   {1, {5, 1, 3}, 2, 12, 9, 2},
    {1, {2, 2, 3}, 1, 260, 2, 3},    {1, {2, 1, 2}, 1, 2112, 1, 2}, {1, {1, 7, 1}, 2, 24, 40, 1},
    {3, {1, 2, 2}, 1, 6, 4, 70},     {1, {2, 3, 3}, 5, 64, 11, 9},  {1, {1, 1, 1}, 2, 8, 3, 300},
    {1, {36, 10, 17}, 8, 48, 64, 32}};

TEST_F(GpuOps, StDeformAttnEqualsReference) {
  for (const StSizes& s : kStSizes) {
    SCOPED_TRACE(testing::PrintToString(s));
    const auto in = random_st_inputs(s);
    const auto kernel = [&](const auto& x) {
      return st_deform_attn(x[0], s.shape_thw, x[1], x[2]);
    };
    const auto plain = [&](const auto& x) {
      return reference::st_deform_attn(x[0], s.shape_thw, x[1], x[2]);
    };
    expect_equal(kernel, plain, in.list());
    expect_equal_in_half(kernel, plain, in);
  }
}

const std::vector<MsSizes> kMsSizes = {
    {2, {{4, 5}, {3, 1}, {1, 1}, {1, 6}}, 3, 7, 5, 6},
    {1, {{4, 5}, {3, 1}, {1, 1}}, 2, 33, 4, 4},
    {1, {{4, 5}, {3, 1}}, 1, 72, 3, 9},
    {1, {{4, 5}}, 8, 32, 9, 4},
    {1, {{12, 20}, {23, 40}, {45, 80}}, 8, 32, 50, 4},
    {1, {{4, 5}, {3, 1}, {1, 1}, {1, 6}}, 2, 48, 5, 5},
    {2, {{4, 5}, {3, 1}, {1, 1}, {1, 6}}, 1, 1, 5, 3},
    {1, {{4, 5}, {3, 1}, {1, 1}, {1, 6}}, 1, 132, 3, 1},
    {3, {{4, 5}, {3, 1}, {1, 1}}, 1, 16, 2, 31},
    {1, std::vector<std::array<int64_t, 2>>(36, {3, 4}), 8, 32, 20, 6},  // frames as levels
    {1, std::vector<std::array<int64_t, 2>>(36, {2, 3}), 1, 5, 2, 1}};

TEST_F(GpuOps, MsDeformAttnEqualsReference) {
  for (const MsSizes& s : kMsSizes) {
    SCOPED_TRACE(testing::PrintToString(s));
    const auto in = random_ms_inputs(s);
    const auto kernel = [&](const auto& x) {
      return ms_deform_attn(x[0], s.shapes_hw, x[1], x[2]);
    };
    const auto plain = [&](const auto& x) {
      return reference::ms_deform_attn(x[0], s.shapes_hw, x[1], x[2]);
    };
    expect_equal(kernel, plain, in.list());
    expect_equal_in_half(kernel, plain, in);
  }
}

struct GpuConv {
  int64_t batch, in_channels, out_channels, height, width;
  std::array<int64_t, 2> kernel;
  DeformConvOptions options;
};

TEST_F(GpuOps, DeformConv2dEqualsReference) {
  for (const bool border_gradient : {false, true}) {
    for (const GpuConv& c : {GpuConv{2, 8, 6, 9, 7, {3, 3}, {{2, 1}, {1, 1}, {1, 1}, 2, 2}},
                             GpuConv{1, 12, 4, 5, 7, {3, 2}, {{1, 1}, {1, 0}, {1, 1}, 1, 3}},
                             GpuConv{1, 37, 5, 4, 9, {3, 3}, {{2, 2}, {1, 1}, {1, 1}, 1, 1}},
                             GpuConv{1, 1, 1, 1, 1, {1, 1}, {}},
                             GpuConv{2, 48, 24, 6, 5, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, 1, 1}},
                             GpuConv{1, 64, 8, 3, 8, {1, 5}, {{1, 1}, {0, 2}, {1, 1}, 4, 4}},
                             GpuConv{0, 4, 3, 5, 6, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, 1, 1}}}) {
      DeformConvOptions options = c.options;
      options.border_gradient = border_gradient;
      const auto out = [&](int64_t size, size_t i) {
        return (size + 2 * options.padding[i] - options.dilation[i] * (c.kernel[i] - 1) - 1) /
                   options.stride[i] +
               1;
      };
      const int64_t taps = c.kernel[0] * c.kernel[1] * options.offset_groups;
      const int64_t height = out(c.height, 0), width = out(c.width, 1);
      // Halves of pixels: many taps lie on centres and at the border exactly.
      const std::vector<at::Tensor> inputs{
          at::randn({c.batch, c.in_channels, c.height, c.width}, at::kDouble),
          at::randn({c.batch, 2 * taps, height, width}, at::kDouble).mul(2).round() * 0.5,
          at::randn({c.out_channels, c.in_channels / options.groups, c.kernel[0], c.kernel[1]},
                    at::kDouble),
          at::rand({c.batch, taps, height, width}, at::kDouble),
          at::randn({c.out_channels}, at::kDouble)};
      expect_equal(
          [&](const auto& x) { return deform_conv2d(x[0], x[1], x[3], x[2], x[4], options); },
          [&](const auto& x) {
            return reference::deform_conv2d(x[0], x[1], x[3], x[2], x[4], options);
          },
          inputs);
    }
  }
}

TEST_F(GpuOps, SizesOfZeroGiveZerosOrNothing) {
  for (const StSizes& s : {StSizes{0, {2, 3, 4}, 2, 8, 5, 3}, StSizes{1, {2, 3, 4}, 2, 8, 0, 3},
                           StSizes{1, {2, 3, 4}, 2, 8, 5, 0}}) {
    SCOPED_TRACE(testing::PrintToString(s));
    for (const bool in_order : {false, true}) {
      at::globalContext().setDeterministicAlgorithms(in_order, false);
      const auto in = random_st_inputs(s);
      std::vector<at::Tensor> leaves;
      for (const auto& x : in.list()) leaves.push_back(leaf(x.to(at::kCUDA, at::kFloat)));
      const at::Tensor output = st_deform_attn(leaves[0], s.shape_thw, leaves[1], leaves[2]);
      EXPECT_EQ(output.sizes(), at::IntArrayRef({s.batch, s.queries, s.heads * s.dim}));
      EXPECT_TRUE(identical(output, at::zeros_like(output)));
      for (const auto& gradient : gradients(output, at::ones_like(output), leaves)) {
        EXPECT_TRUE(identical(gradient, at::zeros_like(gradient)));
      }
    }
    at::globalContext().setDeterministicAlgorithms(false, false);
  }
}

TEST_F(GpuOps, LocationsThatAreNotFiniteSampleZeroWithoutGradient) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const StSizes s{1, {2, 3, 3}, 2, 48, 5, 4};
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity, 1e30, -1e30}) {
    auto in = random_st_inputs(s);
    in.locations.fill_(bad);
    std::vector<at::Tensor> leaves;
    for (const auto& x : in.list()) leaves.push_back(leaf(x.to(at::kCUDA, at::kFloat)));
    const at::Tensor output = st_deform_attn(leaves[0], s.shape_thw, leaves[1], leaves[2]);
    EXPECT_TRUE(identical(output, at::zeros_like(output))) << bad;
    for (const auto& gradient : gradients(output, at::ones_like(output), leaves)) {
      EXPECT_TRUE(identical(gradient, at::zeros_like(gradient))) << bad;
    }
  }
}

TEST_F(GpuOps, AutocastComputesAttentionInHalfPrecision) {
  const StSizes s{1, {2, 3, 3}, 2, 48, 5, 6};
  const auto in = random_st_inputs(s).to(at::kFloat);
  at::autocast::set_autocast_enabled(at::kCUDA, true);
  const at::Tensor output = st_deform_attn(in.value.to(at::kCUDA), s.shape_thw,
                                           in.locations.to(at::kCUDA), in.weights.to(at::kCUDA));
  at::autocast::set_autocast_enabled(at::kCUDA, false);
  at::autocast::clear_cache();
  EXPECT_EQ(output.scalar_type(), at::autocast::get_autocast_dtype(at::kCUDA));
  const at::Tensor expected =
      reference::st_deform_attn(in.value, s.shape_thw, in.locations, in.weights);
  EXPECT_TRUE(all_close(output, expected, 1e-2));
}

}  // namespace
}  // namespace tessera::test
