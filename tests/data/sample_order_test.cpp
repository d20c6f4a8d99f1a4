#include "launcher/data/sample_order.h"

#include <algorithm>
#include <numeric>

#include "core/structures/random.h"
#include "tests/data/fixture.h"

namespace tessera::data {
namespace {

TEST(Random, DependsOnItsKeyAlone) {
  EXPECT_EQ(Random({1, 2}).next(), Random({1, 2}).next());
  EXPECT_NE(Random({1, 2}).next(), Random({2, 1}).next());
  EXPECT_NE(Random({1}).next(), Random({1, 0}).next());
  // Pinned: a change would break resuming runs of earlier versions.
  EXPECT_EQ(Random({1, 2, 3}).next(), 8137338547440760092U);
}

TEST(Random, CoversItsRangeEvenly) {
  Random random({7});
  std::vector<int> counts(5, 0);
  double sum = 0;
  constexpr int kDraws = 50000;
  for (int i = 0; i < kDraws; ++i) {
    const int64_t value = random.integer(-2, 2);
    ASSERT_GE(value, -2);
    ASSERT_LE(value, 2);
    ++counts[static_cast<size_t>(value + 2)];
    const double real = random.uniform();
    ASSERT_GE(real, 0);
    ASSERT_LT(real, 1);
    sum += real;
  }
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 5, 450);  // five sigma
  EXPECT_NEAR(sum / kDraws, 0.5, 0.007);
}

TEST(SampleOrder, VisitsEverySampleOnceInEachEpoch) {
  const SampleOrder order(3, 100);
  std::vector<int64_t> all(100);
  std::iota(all.begin(), all.end(), 0);
  std::vector<int64_t> first = order.epoch(0);
  EXPECT_NE(first, all);
  EXPECT_NE(first, order.epoch(1));
  EXPECT_NE(first, SampleOrder(4, 100).epoch(0));
  EXPECT_EQ(first, SampleOrder(3, 100).epoch(0));
  std::sort(first.begin(), first.end());
  EXPECT_EQ(first, all);
}

TEST(SampleOrder, PositionsRunThroughTheEpochs) {
  SampleOrder order(3, 7);
  for (const int64_t position : {int64_t{0}, int64_t{20}, int64_t{6}, int64_t{7}}) {
    const SampleOrder::Place place = order.at(position);
    EXPECT_EQ(place.epoch, position / 7);
    EXPECT_EQ(place.sample, SampleOrder(3, 7).epoch(position / 7)[position % 7]);
  }
}

TEST(SampleOrder, RefusesAnEmptySetAndNegativePositions) {
  EXPECT_THROW(SampleOrder(1, 0), RuntimeError);
  EXPECT_THROW(SampleOrder(1, 2).at(-1), RuntimeError);
}

}  // namespace
}  // namespace tessera::data
