#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/interfaces/backbone.h"
#include "core/nn/boxes.h"
#include "core/nn/position_encoding.h"
#include "core/structures/shape.h"

namespace tessera {
namespace {

TEST(PositionEncoding, EqualsTheFormulaOnOneCell) {
  const at::Tensor mask = at::zeros({1, 2, 3, 4}, at::kBool);
  const at::Tensor encoded =
      position_encoding(mask, 12, {}, at::kDouble);  // t, y, x with 4 channels each
  ASSERT_EQ(encoded.sizes(), at::IntArrayRef({1, 2, 3, 4, 12}));
  const double counts[] = {2.0 / (2 + 1e-6), 1.0 / (3 + 1e-6),
                           3.0 / (4 + 1e-6)};  // frame 1, row 0, column 2
  for (int64_t axis = 0; axis < 3; ++axis)
    for (int64_t i = 0; i < 4; ++i) {
      const double angle = counts[axis] * 2 * M_PI / std::pow(10000.0, 2.0 * (i / 2) / 4.0);
      EXPECT_NEAR((encoded[0][1][0][2][axis * 4 + i].item<double>()),
                  i % 2 == 0 ? std::sin(angle) : std::cos(angle), 1e-12);
    }
}

TEST(PositionEncoding, CountsUnpaddedCellsOnly) {
  at::Tensor mask = at::zeros({1, 1, 2, 4}, at::kBool);
  mask.narrow(3, 2, 2).fill_(true);
  const at::Tensor padded = position_encoding(mask, 12, {}, at::kFloat);
  const at::Tensor small =
      position_encoding(at::zeros({1, 1, 2, 2}, at::kBool), 12, {}, at::kFloat);
  EXPECT_TRUE(at::allclose(padded.narrow(3, 0, 2), small));
}

TEST(PositionEncoding, RefusesAWidthThatDoesNotDivide) {
  EXPECT_THROW(position_encoding(at::zeros({1, 1, 2, 2}, at::kBool), 16, {}, at::kFloat),
               ConfigError);
  PositionOptions none;
  none.kind = "none";
  EXPECT_FALSE(
      position_encoding(at::zeros({1, 1, 2, 2}, at::kBool), 16, none, at::kFloat).defined());
}

TEST(BoxOverlap, EqualsValuesWorkedOutByHand) {
  const at::Tensor a = at::tensor({0.0, 0.0, 2.0, 2.0}, at::kDouble),
                   b = at::tensor({1.0, 1.0, 3.0, 3.0}, at::kDouble);
  const BoxOverlap overlap = box_overlap(a, b);
  EXPECT_NEAR(overlap.iou.item<double>(), 1.0 / 7.0, 1e-6);               // 1 / (4 + 4 - 1)
  EXPECT_NEAR(overlap.giou.item<double>(), 1.0 / 7.0 - 2.0 / 9.0, 1e-6);  // hull 9, union 7
}

TEST(ResizePaddingMask, TakesTheFloorOfTheSourceIndex) {
  at::Tensor mask = at::zeros({1, 1, 5, 7}, at::kBool);
  mask[0][0][3][5] = true;
  const at::Tensor small = resize_padding_mask(mask, 2, 3);  // rows 0, 2; columns 0, 2, 4
  EXPECT_FALSE(small.any().item<bool>());
  mask[0][0][2][4] = true;
  EXPECT_TRUE((resize_padding_mask(mask, 2, 3)[0][0][1][2].item<bool>()));
}

TEST(ExpectShape, BindsLettersAndNamesBothShapes) {
  ShapeBinding sizes;
  expect_shape(at::zeros({2, 3, 4}), "[B,T,4]", "first", sizes);
  try {
    expect_shape(at::zeros({2, 5}), "[B,T]", "second", sizes);
    FAIL();
  } catch (const ShapeError& error) {
    EXPECT_STREQ(error.what(), "second: expected [B,T] with B = 2, T = 3, got [2, 5].");
  }
  EXPECT_THROW(expect_shape(at::zeros({2}), "[B,T]", "x"), ShapeError);
  EXPECT_THROW(expect_shape(at::Tensor(), "[B]", "x"), ShapeError);
}

TEST(PositionEncoding, DividesByTheNumberOfCellsWhereAsked) {
  PositionOptions options;
  options.kind = "2d";
  options.first = 0.5;
  options.divisor = "cells";
  const at::Tensor encoded = position_encoding(at::zeros({1, 1, 3, 4}, at::kBool), 4, options,
                                               at::kDouble);  // y and x with 2 channels each
  EXPECT_NEAR(encoded[0][0][1][3][0].item<double>(), std::sin(1.5 / (3 + 1e-6) * 2 * M_PI), 1e-9);
  EXPECT_NEAR(encoded[0][0][1][3][2].item<double>(), std::sin(3.5 / (4 + 1e-6) * 2 * M_PI), 1e-9);
}

}  // namespace
}  // namespace tessera
