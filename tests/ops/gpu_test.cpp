// The CUDA kernels against the references. Skipped, visibly, where the CUDA library was not built
// or there is no device. Sums use atomicAdd, so the tolerances are those of another summing order.

#include <ATen/ATen.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

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

class GpuOps : public testing::Test {
 protected:
  void SetUp() override {
    if (kCudaLibrary == nullptr) GTEST_SKIP() << "libtessera_core_cuda.so cannot be loaded";
    if (!at::hasCUDA() || at::detail::getCUDAHooks().deviceCount() == 0)
      GTEST_SKIP() << "no CUDA device";
    at::manual_seed(1);
  }

  // Runs `kernel` on the device in both precisions, and holds it against `plain` on the CPU.
  template <typename Kernel, typename Plain>
  static void expect_equal(Kernel kernel, Plain plain, const std::vector<at::Tensor>& inputs) {
    std::vector<at::Tensor> leaves;
    for (const auto& input : inputs) leaves.push_back(leaf(input));
    const at::Tensor expected = plain(leaves);
    const at::Tensor grad_output = at::randn_like(expected);
    const auto expected_gradients = gradients(expected, grad_output, leaves);
    for (const auto& [type, tolerance] : {std::pair(at::kDouble, 1e-11), {at::kFloat, 2e-4}}) {
      std::vector<at::Tensor> moved;
      for (const auto& input : inputs) moved.push_back(leaf(input.to(at::kCUDA, type)));
      const at::Tensor output = kernel(moved);
      EXPECT_TRUE(all_close(output, expected, tolerance)) << type;
      const auto found = gradients(output, grad_output.to(at::kCUDA, type), moved);
      for (size_t i = 0; i < inputs.size(); ++i) {
        EXPECT_TRUE(all_close(found[i], expected_gradients[i], tolerance))
            << type << " input " << i;
      }
    }
  }
};

TEST_F(GpuOps, StDeformAttnEqualsReference) {
  for (const StSizes& s : {StSizes{2, {3, 5, 4}, 3, 7, 6, 4}, StSizes{1, {1, 6, 8}, 8, 48, 40, 32},
                           StSizes{1, {2, 2, 2}, 2, 3, 0, 4}}) {
    const auto in = random_st_inputs(s);
    expect_equal(
        [&](const auto& x) { return st_deform_attn(x[0], s.shape_thw, x[1], x[2]); },
        [&](const auto& x) { return reference::st_deform_attn(x[0], s.shape_thw, x[1], x[2]); },
        in.list());
  }
}

TEST_F(GpuOps, MsDeformAttnEqualsReference) {
  for (const MsSizes& s :
       {MsSizes{2, {{7, 5}, {3, 3}, {1, 2}}, 3, 7, 6, 2},
        MsSizes{1, std::vector<std::array<int64_t, 2>>(37, {3, 4}), 8, 32, 20, 6}}) {
    const auto in = random_ms_inputs(s);
    expect_equal(
        [&](const auto& x) { return ms_deform_attn(x[0], s.shapes_hw, x[1], x[2]); },
        [&](const auto& x) { return reference::ms_deform_attn(x[0], s.shapes_hw, x[1], x[2]); },
        in.list());
  }
}

TEST_F(GpuOps, DeformConv2dEqualsReference) {
  for (const bool border_gradient : {false, true}) {
    const DeformConvOptions options{.stride = {2, 1},
                                    .padding = {1, 1},
                                    .groups = 2,
                                    .offset_groups = 2,
                                    .border_gradient = border_gradient};
    const std::vector<at::Tensor> inputs{
        at::randn({2, 8, 9, 7}, at::kDouble), at::randn({2, 36, 5, 7}, at::kDouble).round() * 0.5,
        at::randn({6, 4, 3, 3}, at::kDouble), at::rand({2, 18, 5, 7}, at::kDouble),
        at::randn({6}, at::kDouble)};
    expect_equal(
        [&](const auto& x) { return deform_conv2d(x[0], x[1], x[3], x[2], x[4], options); },
        [&](const auto& x) {
          return reference::deform_conv2d(x[0], x[1], x[3], x[2], x[4], options);
        },
        inputs);
  }
}

}  // namespace
}  // namespace tessera::test
