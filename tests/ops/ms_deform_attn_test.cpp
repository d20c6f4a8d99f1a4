#include "core/ops/ms_deform_attn.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "core/ops/reference.h"
#include "core/ops/st_deform_attn.h"
#include "tests/ops/attention_test_cases.h"
#include "tests/ops/gradcheck.h"

namespace tessera::test {
namespace {

using Shapes = std::vector<std::array<int64_t, 2>>;

struct MsResult {
  at::Tensor output;
  std::vector<at::Tensor> gradients;  // of value, locations, weights
};

MsResult run_ms(const AttentionInputs& in, const Shapes& shapes, const at::Tensor& grad_output) {
  const std::vector<at::Tensor> leaves{leaf(in.value), leaf(in.locations), leaf(in.weights)};
  const at::Tensor output = ms_deform_attn(leaves[0], shapes, leaves[1], leaves[2]);
  return {output.detach(), gradients(output, grad_output, leaves)};
}

class MsDeformAttn : public testing::TestWithParam<MsSizes> {};

TEST_P(MsDeformAttn, EqualsReference) {
  at::manual_seed(1);
  const auto in = random_ms_inputs(GetParam());
  const auto shapes = GetParam().shapes_hw;
  const std::vector<at::Tensor> leaves{leaf(in.value), leaf(in.locations), leaf(in.weights)};
  const at::Tensor expected = reference::ms_deform_attn(leaves[0], shapes, leaves[1], leaves[2]);
  const at::Tensor grad_output = at::randn_like(expected);
  const auto expected_gradients = gradients(expected, grad_output, leaves);
  const MsResult precise = run_ms(in, shapes, grad_output);
  const MsResult fast = run_ms(in.to(at::kFloat), shapes, grad_output.to(at::kFloat));
  EXPECT_TRUE(all_close(precise.output, expected, 1e-12));
  EXPECT_TRUE(all_close(fast.output, expected, 2e-5));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(all_close(precise.gradients[i], expected_gradients[i], 1e-12)) << "input " << i;
    EXPECT_TRUE(all_close(fast.gradients[i], expected_gradients[i], 1e-4)) << "input " << i;
  }
}

const auto kMsSizes = testing::Values(
    MsSizes{1, {{4, 5}}, 2, 8, 5, 4},
    MsSizes{2, {{7, 5}, {3, 3}, {1, 2}}, 3, 7, 6, 2},           // odd sizes
    MsSizes{1, {{1, 1}}, 1, 1, 4, 1},                           // one of everything
    MsSizes{1, {{3, 4}, {3, 4}, {3, 4}, {2, 5}}, 2, 6, 12, 6},  // frames as levels
    MsSizes{1, {{6, 4}, {3, 2}}, 8, 32, 9, 4},
    MsSizes{2, {{2, 3}, {5, 1}}, 1, 3, 2, 9},  // a level's points end within a block
    MsSizes{1, {{1, 6}, {6, 1}, {2, 2}}, 2, 19, 3, 5},
    MsSizes{1, {{2, 2}}, 1, 83, 3, 3},  // more channels than one pass takes
    MsSizes{3, {{3, 2}, {2, 1}}, 3, 2, 4, 1}, MsSizes{1, {{4, 4}, {2, 2}}, 2, 16, 3, 16},
    MsSizes{1, {{3, 3}, {3, 3}}, 1, 49, 2, 7});

INSTANTIATE_TEST_SUITE_P(Sizes, MsDeformAttn, kMsSizes);

class MsDeformAttnGradient : public testing::TestWithParam<MsSizes> {};

TEST_P(MsDeformAttnGradient, EqualsCentralDifferences) {
  at::manual_seed(2);
  const MsSizes& s = GetParam();
  EXPECT_TRUE(gradcheck(
      [&](const std::vector<at::Tensor>& x) {
        return ms_deform_attn(x[0], s.shapes_hw, x[1], x[2]);
      },
      random_ms_inputs(s).list()));
}

INSTANTIATE_TEST_SUITE_P(Sizes, MsDeformAttnGradient, kMsSizes);

TEST(MsDeformAttnConvention, LevelsFollowOneAnotherRowByRow) {
  const auto value = at::arange(10, at::kDouble).view({1, 10, 1, 1});  // 2 x 4, then 1 x 2
  const auto locations =
      at::tensor({0.625, 0.75, 0.75, 0.5}).to(at::kDouble).view({1, 1, 1, 2, 1, 2});
  const auto weights = at::tensor({1., 10.}).to(at::kDouble).view({1, 1, 1, 2, 1});
  const auto result =
      run_ms({value, locations, weights}, {{2, 4}, {1, 2}}, at::ones({1, 1, 1}, at::kDouble));
  EXPECT_DOUBLE_EQ(result.output.item<double>(), 6 + 10 * 9);
  // Slopes of the intervals that start at these centres, zero beyond the last pixel.
  EXPECT_TRUE(all_close(result.gradients[1].view({4}),
                        at::tensor({4., -6. * 2, -90. * 2, -90. * 1}), 1e-12));
}

TEST(MsDeformAttnConvention, OutsideAndNonFiniteCountAsZeroWithoutGradient) {
  const auto value = at::ones({1, 8, 1, 3}, at::kDouble);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<double> bad{
      -0.25, 1.25, -1e30, 1e300, kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN()};
  for (const double b : bad) {
    const double x = b == -0.25 ? -0.125 : b == 1.25 ? 1.125 : b;  // pixel -1 and the size
    const auto locations = at::tensor({0.5, b, x, 0.5, x, b}).to(at::kDouble);
    const auto result =
        run_ms({value, locations.view({1, 1, 1, 1, 3, 2}), at::ones({1, 1, 1, 1, 3}, at::kDouble)},
               {{2, 4}}, at::ones({1, 1, 3}, at::kDouble));
    EXPECT_TRUE(identical(result.output, at::zeros({1, 1, 3}, at::kDouble))) << b;
    for (const auto& gradient : result.gradients) {
      EXPECT_TRUE(identical(gradient, at::zeros_like(gradient))) << b;
    }
  }
}

TEST(MsDeformAttnInputs, NonContiguousGiveTheSameBits) {
  at::manual_seed(3);
  const Shapes shapes{{3, 4}, {2, 2}};
  const auto in = random_ms_inputs({2, shapes, 2, 5, 4, 3});
  const at::Tensor grad_output = at::randn({2, 4, 10}, at::kDouble);
  const MsResult dense = run_ms(in, shapes, grad_output);
  const std::vector<at::Tensor> leaves{scattered(in.value).requires_grad_(),
                                       scattered(in.locations).requires_grad_(),
                                       scattered(in.weights).requires_grad_()};
  const at::Tensor output = ms_deform_attn(leaves[0], shapes, leaves[1], leaves[2]);
  const auto found = gradients(output, scattered(grad_output), leaves);
  EXPECT_TRUE(identical(output, dense.output));
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(identical(found[i], dense.gradients[i]));
}

TEST(MsDeformAttnInputs, NoQueriesOrNoBatchGiveEmptyOutput) {
  for (const MsSizes& s : {MsSizes{1, {{2, 4}}, 2, 3, 0, 4}, MsSizes{0, {{2, 4}}, 2, 3, 5, 4}}) {
    const auto result =
        run_ms(random_ms_inputs(s), s.shapes_hw, at::ones({s.batch, s.queries, 6}, at::kDouble));
    EXPECT_EQ(result.output.sizes(), at::IntArrayRef({s.batch, s.queries, 6}));
    EXPECT_TRUE(identical(result.gradients[0], at::zeros({s.batch, 8, 2, 3}, at::kDouble)));
  }
}

TEST(MsDeformAttnInputs, WrongShapesAreRefused) {
  const auto in = random_ms_inputs({1, {{2, 4}, {1, 2}}, 2, 3, 4, 4});
  EXPECT_THROW(ms_deform_attn(in.value, {{2, 4}}, in.locations, in.weights), ShapeError);
  EXPECT_THROW(ms_deform_attn(in.value, {{2, 3}, {2, 2}, {0, 5}}, in.locations, in.weights),
               ShapeError);
  EXPECT_THROW(ms_deform_attn(in.value, {}, in.locations, in.weights), ShapeError);
  EXPECT_THROW(ms_deform_attn(in.value, {{10, 1}}, in.locations, in.weights), ShapeError);
  EXPECT_THROW(ms_deform_attn(in.value.to(at::kFloat), {{2, 4}, {1, 2}}, in.locations, in.weights),
               RuntimeError);
}

TEST(MsDeformAttnBits, DoNotDependOnThreadsOrRun) {
  at::manual_seed(4);
  const Shapes shapes{{16, 20}, {8, 10}};
  const auto in = random_ms_inputs({2, shapes, 3, 16, 150, 8}).to(at::kFloat);
  const at::Tensor grad_output = at::randn({2, 150, 48});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const MsResult one = run_ms(in, shapes, grad_output);
  at::set_num_threads(2);
  for (int repeat = 0; repeat < 3; ++repeat) {
    const MsResult two = run_ms(in, shapes, grad_output);
    EXPECT_TRUE(identical(two.output, one.output));
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(identical(two.gradients[i], one.gradients[i]));
  }
  at::set_num_threads(threads);
}

// Both attentions on one frame, at its centre in time, are the same operator.
TEST(MsDeformAttnProperty, OneLevelEqualsSpatioTemporalAttentionOnOneFrame) {
  at::manual_seed(5);
  const auto in = random_ms_inputs({1, {{5, 4}}, 2, 6, 7, 3});
  const auto xy = in.locations.select(3, 0);
  const auto xyt = at::cat({xy, at::full_like(xy.narrow(-1, 0, 1), 0.5)}, -1);
  EXPECT_TRUE(all_close(st_deform_attn(in.value, {1, 5, 4}, xyt, in.weights.select(3, 0)),
                        ms_deform_attn(in.value, {{5, 4}}, in.locations, in.weights), 1e-12));
}

TEST(MsDeformAttnAutocast, CastsValuesAlone) {
  at::manual_seed(6);
  const auto in = random_ms_inputs({1, {{3, 4}}, 2, 8, 5, 4}).to(at::kFloat);
  const at::Tensor expected =
      ms_deform_attn(in.value.to(at::kBFloat16), {{3, 4}}, in.locations, in.weights);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor output = ms_deform_attn(in.value, {{3, 4}}, in.locations, in.weights);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_EQ(output.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(identical(output, expected));
}

}  // namespace
}  // namespace tessera::test
