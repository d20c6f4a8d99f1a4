#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "launcher/parity/compare.h"
#include "launcher/parity/view.h"

namespace tessera::parity {
namespace {

TEST(Compare, HoldsFloatsToAShareOfTheScaleOrTheStatedRounding) {
  const at::Tensor expected = at::tensor({10.0, -20.0});
  EXPECT_TRUE(compare("x", expected + 0.0019, expected, {}).passed);  // 1e-4 of 20
  EXPECT_FALSE(compare("x", expected + 0.0021, expected, {}).passed);
  ToleranceRules stated;
  stated.rounding = 1e-4;
  EXPECT_FALSE(compare("x", expected + 0.0019, expected, stated).passed);
  EXPECT_TRUE(compare("x", expected + 0.0003, expected, stated).passed);
}

TEST(Compare, HoldsIntegersExactlyAndPixelsLoosely) {
  const at::Tensor expected = at::tensor({5, 7}, at::kInt);
  EXPECT_TRUE(compare("x", expected.to(at::kLong), expected, {}).passed);
  EXPECT_FALSE(compare("x", expected + 1, expected, {}).passed);
  ToleranceRules pixels;
  pixels.pixels = 20000;
  EXPECT_TRUE(compare("x", expected + 2, expected, pixels).passed);
  EXPECT_FALSE(compare("x", expected + 3, expected, pixels).passed);
}

TEST(Compare, NeverPassesNanOrAnotherShape) {
  const at::Tensor expected = at::ones({2});
  EXPECT_FALSE(compare("x", at::full({2}, NAN), expected, {}).passed);
  const Comparison other = compare("x", at::ones({2, 1}), expected, {});
  EXPECT_FALSE(other.passed);
  EXPECT_EQ(other.problem, "expected shape [2], got [2, 1]");
}

TEST(View, AppliesStepsInOrderAndRefusesUnknownOnes) {
  const at::Tensor x = at::arange(24).view({2, 3, 4});
  EXPECT_TRUE(at::equal(apply_view(x, {"transpose 0 1", "flatten 0 1", "narrow 0 1 2"}),
                        x.transpose(0, 1).flatten(0, 1).narrow(0, 1, 2)));
  EXPECT_TRUE(at::equal(apply_view(x, {"double", "mean -1 -2"}), x.to(at::kDouble).mean({-1, -2})));
  EXPECT_TRUE(at::equal(apply_view(x, {"slice 1 0 -1", "slice 2"}), x.narrow(1, 0, 2)));
  EXPECT_THROW(apply_view(x, {"transpos 0 1"}), ConfigError);
  EXPECT_THROW(apply_view(x, {"select 0"}), ConfigError);
}

TEST(Compare, HoldsMasksToThePartOfPixelsThatDiffer) {
  const at::Tensor expected = at::zeros({200, 100}, at::kByte);
  ToleranceRules masks;
  masks.masks = true;
  at::Tensor ours = at::zeros({200, 100}, at::kBool);
  ours.flatten().narrow(0, 0, 2).fill_(true);
  EXPECT_TRUE(compare("x", ours, expected, masks).passed);
  ours.flatten().narrow(0, 0, 3).fill_(true);
  EXPECT_FALSE(compare("x", ours, expected, masks).passed);
}

}  // namespace
}  // namespace tessera::parity
