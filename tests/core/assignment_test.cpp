#include "core/matching/assignment.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace tessera {
namespace {

double total(const at::Tensor& cost, const std::vector<std::pair<int64_t, int64_t>>& pairs) {
  double sum = 0.0;
  for (const auto& [row, column] : pairs) sum += cost[row][column].item<double>();
  return sum;
}

// Every injection of the smaller side into the larger one.
double best_by_trying(const at::Tensor& cost) {
  const at::Tensor m = cost.size(0) <= cost.size(1) ? cost : cost.t();
  std::vector<int64_t> columns(m.size(1));
  std::iota(columns.begin(), columns.end(), 0);
  double best = std::numeric_limits<double>::infinity();
  do {
    double sum = 0.0;
    for (int64_t r = 0; r < m.size(0); ++r) sum += m[r][columns[r]].item<double>();
    best = std::min(best, sum);
  } while (std::next_permutation(columns.begin(), columns.end()));
  return best;
}

TEST(Assignment, IsOptimalOnSmallMatricesOfEveryShape) {
  at::manual_seed(1);
  for (int64_t rows = 1; rows <= 5; ++rows)
    for (int64_t columns = 1; columns <= 5; ++columns)
      for (const bool ties : {false, true}) {
        at::Tensor cost = at::randn({rows, columns}, at::kDouble);
        if (ties) cost = cost.round();
        const auto pairs = assign_minimum_cost(cost);
        ASSERT_EQ(static_cast<int64_t>(pairs.size()), std::min(rows, columns));
        EXPECT_TRUE(std::is_sorted(pairs.begin(), pairs.end()));
        EXPECT_NEAR(total(cost, pairs), best_by_trying(cost), 1e-12) << rows << "x" << columns;
      }
}

TEST(Assignment, GivesNothingForAnEmptySide) {
  EXPECT_TRUE(assign_minimum_cost(at::empty({10, 0})).empty());
  EXPECT_TRUE(assign_minimum_cost(at::empty({0, 4})).empty());
}

TEST(Assignment, RefusesCostsThatAreNotFinite) {
  at::Tensor cost = at::ones({2, 2});
  cost[1][0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(assign_minimum_cost(cost), RuntimeError);
}

}  // namespace
}  // namespace tessera
