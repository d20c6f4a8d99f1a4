#include "core/ops/st_deform_attn.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "core/ops/op_support.h"
#include "core/ops/reference.h"
#include "tests/ops/attention_test_cases.h"
#include "tests/ops/gradcheck.h"

namespace tessera::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct StResult {
  at::Tensor output;
  std::vector<at::Tensor> gradients;  // of value, locations, weights
};

StResult run_st(const AttentionInputs& in, std::array<int64_t, 3> shape,
                const at::Tensor& grad_output) {
  const std::vector<at::Tensor> leaves{leaf(in.value), leaf(in.locations), leaf(in.weights)};
  const at::Tensor output = st_deform_attn(leaves[0], shape, leaves[1], leaves[2]);
  return {output.detach(), gradients(output, grad_output, leaves)};
}

class StDeformAttn : public testing::TestWithParam<StSizes> {};

TEST_P(StDeformAttn, EqualsReference) {
  at::manual_seed(1);
  const auto in = random_st_inputs(GetParam());
  const auto shape = GetParam().shape_thw;
  const std::vector<at::Tensor> leaves{leaf(in.value), leaf(in.locations), leaf(in.weights)};
  const at::Tensor expected = reference::st_deform_attn(leaves[0], shape, leaves[1], leaves[2]);
  const at::Tensor grad_output = at::randn_like(expected);
  const auto expected_gradients = gradients(expected, grad_output, leaves);
  const StResult precise = run_st(in, shape, grad_output);
  const StResult fast = run_st(in.to(at::kFloat), shape, grad_output.to(at::kFloat));
  EXPECT_TRUE(all_close(precise.output, expected, 1e-12));
  EXPECT_TRUE(all_close(fast.output, expected, 2e-5));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(all_close(precise.gradients[i], expected_gradients[i], 1e-12)) << "input " << i;
    EXPECT_TRUE(all_close(fast.gradients[i], expected_gradients[i], 1e-4)) << "input " << i;
  }
}

const auto kStSizes = testing::Values(
    StSizes{1, {2, 3, 4}, 2, 8, 5, 3}, StSizes{2, {3, 5, 4}, 3, 7, 6, 4},  // odd channels
    StSizes{2, {1, 4, 6}, 2, 5, 7, 3},                                     // one frame
    StSizes{1, {3, 1, 1}, 1, 1, 9, 1},                                     // one of everything
    StSizes{1, {4, 5, 3}, 2, 16, 8, 1},                                    // one point
    StSizes{1, {2, 3, 3}, 2, 48, 4, 32}, StSizes{1, {2, 3, 2}, 1, 37, 5, 2},
    StSizes{1, {1, 1, 7}, 1, 3, 2, 17},   // a row, and one point beyond a block
    StSizes{3, {5, 2, 1}, 5, 2, 3, 9},    // a column, and an odd batch
    StSizes{1, {2, 2, 2}, 1, 83, 3, 5},   // more channels than one pass takes
    StSizes{2, {2, 2, 3}, 2, 33, 2, 16},  // one channel beyond two lanes
    StSizes{1, {9, 2, 2}, 4, 4, 1, 40});

INSTANTIATE_TEST_SUITE_P(Sizes, StDeformAttn, kStSizes);

class StDeformAttnGradient : public testing::TestWithParam<StSizes> {};

TEST_P(StDeformAttnGradient, EqualsCentralDifferences) {
  at::manual_seed(2);
  const StSizes& s = GetParam();
  EXPECT_TRUE(gradcheck(
      [&](const std::vector<at::Tensor>& x) {
        return st_deform_attn(x[0], s.shape_thw, x[1], x[2]);
      },
      random_st_inputs(s).list()));
}

INSTANTIATE_TEST_SUITE_P(Sizes, StDeformAttnGradient, kStSizes);

// value[t, y, x] = 100 t + 10 y + x on a 2 x 2 x 4 grid: known samples, known slopes.
struct Ramp {
  at::Tensor value = at::tensor({0., 1., 2., 3., 10., 11., 12., 13., 100., 101., 102., 103., 110.,
                                 111., 112., 113.})
                         .to(at::kDouble)
                         .view({1, 16, 1, 1});
  StResult sample(double x, double y, double t) const {
    const auto location = at::tensor({x, y, t}, at::kDouble).view({1, 1, 1, 1, 3});
    return run_st({value, location, at::full({1, 1, 1, 1}, 2.0, at::kDouble)}, {2, 2, 4},
                  at::ones({1, 1, 1}, at::kDouble));
  }
};

TEST(StDeformAttnConvention, ReadsPixelCentresAndBlendsBetween) {
  const Ramp ramp;
  EXPECT_DOUBLE_EQ(ramp.sample(0.375, 0.75, 0.25).output.item<double>(), 2 * 11);  // centre (1,1,0)
  EXPECT_DOUBLE_EQ(ramp.sample(0.5, 0.5, 0.5).output.item<double>(), 2 * 56.5);
  EXPECT_DOUBLE_EQ(ramp.sample(0.0, 0.25, 0.25).output.item<double>(), 0.0);
  EXPECT_DOUBLE_EQ(ramp.sample(1.0, 0.25, 0.25).output.item<double>(), 2 * 1.5);  // half outside
}

TEST(StDeformAttnConvention, SlopeAtPixelCentreIsThatOfTheIntervalWhichStartsThere) {
  const Ramp ramp;
  const auto inside = ramp.sample(0.375, 0.25, 0.25).gradients[1].view({3});  // centre (1, 0, 0)
  EXPECT_TRUE(all_close(inside, at::tensor({2 * 1. * 4, 2 * 10. * 2, 2 * 100. * 2}), 1e-12));
  const auto last = ramp.sample(0.875, 0.75, 0.75).gradients[1].view({3});  // centre (3, 1, 1)
  EXPECT_TRUE(all_close(last, at::tensor({-2 * 113. * 4, -2 * 113. * 2, -2 * 113. * 2}), 1e-12));
}

TEST(StDeformAttnConvention, OutsideAndNonFiniteCountAsZeroWithoutGradient) {
  const Ramp ramp;
  for (const double bad : {-0.125, 1.125, -1e30, 1e30, 1e300, kInfinity, -kInfinity, kNan}) {
    const double y = bad == -0.125 ? -0.25 : bad == 1.125 ? 1.25 : bad;  // pixel -1 and the size
    for (const auto& result : {ramp.sample(bad, 0.5, 0.5), ramp.sample(0.5, y, 0.5),
                               ramp.sample(0.5, 0.5, y), ramp.sample(bad, y, y)}) {
      EXPECT_EQ(result.output.item<double>(), 0.0) << bad;
      for (const auto& gradient : result.gradients) {
        EXPECT_TRUE(identical(gradient, at::zeros_like(gradient))) << bad;
      }
    }
  }
}

TEST(StDeformAttnConvention, HugeFloatLocationsAreSafe) {
  auto in = random_st_inputs({1, {2, 3, 4}, 2, 6, 40, 4}).to(at::kFloat);
  in.locations.mul_(at::tensor({1e10, -1e18, 1e30}).to(at::kFloat));
  const StResult result = run_st(in, {2, 3, 4}, at::ones({1, 40, 12}));
  EXPECT_TRUE(at::isfinite(result.output).all().item<bool>());
}

TEST(StDeformAttnConvention, UntouchedCellsDoNotLeak) {
  Ramp ramp;
  ramp.value[0][15] = kNan;
  EXPECT_DOUBLE_EQ(ramp.sample(0.25, 0.25, 0.25).output.item<double>(), 2 * 0.5);
}

TEST(StDeformAttnInputs, NonContiguousGiveTheSameBits) {
  at::manual_seed(3);
  const auto in = random_st_inputs({2, {2, 3, 4}, 2, 5, 4, 3});
  const at::Tensor grad_output = at::randn({2, 4, 10}, at::kDouble);
  const StResult dense = run_st(in, {2, 3, 4}, grad_output);
  const std::vector<at::Tensor> leaves{scattered(in.value).requires_grad_(),
                                       scattered(in.locations).requires_grad_(),
                                       scattered(in.weights).requires_grad_()};
  ASSERT_FALSE(leaves[0].is_contiguous());
  const at::Tensor output = st_deform_attn(leaves[0], {2, 3, 4}, leaves[1], leaves[2]);
  const auto found = gradients(output, scattered(grad_output), leaves);
  EXPECT_TRUE(identical(output, dense.output));
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(identical(found[i], dense.gradients[i]));
}

TEST(StDeformAttnInputs, NoQueriesOrNoBatchGiveEmptyOutput) {
  for (const StSizes& s : {StSizes{1, {2, 2, 2}, 2, 3, 0, 4}, StSizes{0, {2, 2, 2}, 2, 3, 5, 4}}) {
    const auto result =
        run_st(random_st_inputs(s), s.shape_thw, at::ones({s.batch, s.queries, 6}, at::kDouble));
    EXPECT_EQ(result.output.sizes(), at::IntArrayRef({s.batch, s.queries, 6}));
    EXPECT_TRUE(identical(result.gradients[0], at::zeros({s.batch, 8, 2, 3}, at::kDouble)));
  }
}

TEST(StDeformAttnInputs, WrongShapesAreNamed) {
  const auto in = random_st_inputs({1, {2, 2, 2}, 2, 3, 4, 4});
  const auto message = [&](auto&& call) -> std::string {
    try {
      call();
    } catch (const RuntimeError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message([&] {
              st_deform_attn(in.value, {2, 2, 3}, in.locations, in.weights);
            }),
            "st_deform_attn value: expected [N,S,M,D] with N = 1, S = 12, got [1, 8, 2, 3].");
  EXPECT_EQ(message([&] {
              st_deform_attn(in.value, {2, 2, 2}, in.weights, in.weights);
            }),
            "st_deform_attn sampling_locations: expected [N,Q,M,K,3] with D = 3, M = 2, N = 1, "
            "S = 8, got [1, 4, 2, 4].");
  EXPECT_EQ(message([&] {
              st_deform_attn(in.value, {2, 0, 2}, in.locations, in.weights);
            }),
            "st_deform_attn shape_thw: expected three numbers >= 1, got [2, 0, 2].");
  EXPECT_THROW(st_deform_attn(in.value, {2, 2, 2}, in.locations, in.weights.narrow(3, 0, 2)),
               ShapeError);
  EXPECT_THROW(st_deform_attn(in.value, {2, 2, 2}, in.locations, in.weights.to(at::kFloat)),
               RuntimeError);
  EXPECT_THROW(st_deform_attn(in.value.to(at::kHalf), {2, 2, 2}, in.locations.to(at::kHalf),
                              in.weights.to(at::kHalf)),
               RuntimeError);
}

TEST(OpsThreads, AreCompiledIn) {
  EXPECT_TRUE(ops::parallel_for_is_parallel()) << "compile tessera_core with -fopenmp";
}

TEST(StDeformAttnBits, DoNotDependOnThreadsOrRun) {
  at::manual_seed(4);
  const auto in = random_st_inputs({2, {4, 6, 7}, 3, 16, 150, 8}).to(at::kFloat);
  const at::Tensor grad_output = at::randn({2, 150, 48});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const StResult one = run_st(in, {4, 6, 7}, grad_output);
  at::set_num_threads(2);
  for (int repeat = 0; repeat < 3; ++repeat) {
    const StResult two = run_st(in, {4, 6, 7}, grad_output);
    EXPECT_TRUE(identical(two.output, one.output));
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(identical(two.gradients[i], one.gradients[i]));
  }
  at::set_num_threads(threads);
}

// With a point on every cell and softmax(q k) as the weights, this is dense attention.
TEST(StDeformAttnProperty, EqualsDenseAttentionOverAllCells) {
  at::manual_seed(5);
  const int64_t frames = 2, height = 4, width = 8, cells = 64, heads = 2, dim = 5, queries = 6;
  const auto value = at::randn({1, cells, heads, dim}, at::kDouble);
  const auto q = at::randn({1, queries, heads, dim}, at::kDouble);
  const auto k = at::randn({1, cells, heads, dim}, at::kDouble);
  const auto weights = at::einsum("nqmd,ncmd->nqmc", {q, k}).softmax(-1);
  const auto centres = [](int64_t size) {
    return (at::arange(size, at::kDouble) + 0.5) / static_cast<double>(size);
  };
  const auto grid = at::meshgrid({centres(frames), centres(height), centres(width)}, "ij");
  const auto locations = at::stack({grid[2], grid[1], grid[0]}, -1)
                             .view({1, 1, 1, cells, 3})
                             .expand({1, queries, heads, cells, 3});
  const auto dense = at::einsum("nqmc,ncmd->nqmd", {weights, value}).flatten(2);
  EXPECT_TRUE(
      all_close(st_deform_attn(value, {frames, height, width}, locations, weights), dense, 1e-12));
}

// Values of half precision are summed in float32, and rounded once.
TEST(StDeformAttnHalf, RoundsTheFloat32ResultOnce) {
  at::manual_seed(6);
  for (const auto type : {at::kBFloat16, at::kHalf}) {
    const auto in = random_st_inputs({1, {2, 3, 4}, 2, 8, 5, 4}).to(at::kFloat);
    const at::Tensor value = leaf(in.value.to(type));
    const at::Tensor locations = leaf(in.locations), weights = leaf(in.weights);
    const at::Tensor exact_value = leaf(value.detach().to(at::kFloat));
    const at::Tensor output = st_deform_attn(value, {2, 3, 4}, locations, weights);
    const at::Tensor exact = st_deform_attn(exact_value, {2, 3, 4}, locations, weights);
    EXPECT_TRUE(identical(output, exact.to(type)));
    const auto found = gradients(output, at::ones_like(output), {value, locations, weights});
    const auto expected = gradients(exact, at::ones_like(exact), {exact_value, locations, weights});
    EXPECT_TRUE(identical(found[0], expected[0].to(type)));
    EXPECT_TRUE(identical(found[1], expected[1]));
    EXPECT_TRUE(identical(found[2], expected[2]));
  }
}

TEST(StDeformAttnHalf, RefusesLocationsOfHalfPrecision) {
  const auto in = random_st_inputs({1, {2, 3, 4}, 2, 8, 5, 4}).to(at::kBFloat16);
  EXPECT_THROW(st_deform_attn(in.value, {2, 3, 4}, in.locations, in.weights), RuntimeError);
}

TEST(StDeformAttnAutocast, CastsValuesAlone) {
  at::manual_seed(6);
  const auto in = random_st_inputs({1, {2, 3, 4}, 2, 8, 5, 4}).to(at::kFloat);
  const at::Tensor expected =
      st_deform_attn(in.value.to(at::kBFloat16), {2, 3, 4}, in.locations, in.weights);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor value = leaf(in.value);
  const at::Tensor output = st_deform_attn(value, {2, 3, 4}, in.locations, in.weights);
  const at::Tensor from_half =
      st_deform_attn(in.value, {2, 3, 4}, in.locations.to(at::kHalf), in.weights.to(at::kHalf));
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_EQ(output.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(identical(output, expected));
  EXPECT_EQ(from_half.scalar_type(), at::kBFloat16);
  const auto gradient = gradients(output, at::ones_like(output), {value});
  EXPECT_EQ(gradient[0].scalar_type(), at::kFloat);
}

TEST(StDeformAttnSecond, SecondDerivativeIsRefused) {
  const auto in = random_st_inputs({1, {2, 2, 2}, 1, 2, 2, 2});
  const at::Tensor value = leaf(in.value), locations = leaf(in.locations);
  const auto first = torch::autograd::grad(
      {st_deform_attn(value, {2, 2, 2}, locations, in.weights).sum()}, {locations}, {},
      /*retain_graph=*/true, /*create_graph=*/true);
  EXPECT_ANY_THROW(torch::autograd::grad({first[0].sum()}, {value}));
}

}  // namespace
}  // namespace tessera::test
