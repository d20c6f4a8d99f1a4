// Dropout's numbers and attention with dropped weights, without LibTorch. Arrays are as long as
// they must be and not a number longer, so that valgrind and the address sanitizer see every step
// too far.

#include "core/ops/kernels/dropped_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/ops/kernels/packed_heads.h"

namespace tessera::kernels {
namespace {

std::vector<float> factors(const DropoutPattern& pattern, int64_t begin, int64_t end) {
  std::vector<float> found(static_cast<size_t>(end - begin));
  dropout_factors(pattern, begin, end, found.data());
  return found;
}

TEST(DropoutFactors, DropAsManyAsTheyShouldAndKeepTheMean) {
  for (const double p : {0.0, 0.1, 0.5, 0.9}) {
    constexpr int64_t kCount = 1 << 20;
    int64_t dropped = 0;
    double sum = 0;
    for (const float factor : factors({42, p}, 0, kCount)) {
      dropped += factor == 0;
      sum += factor;
    }
    const double deviation = std::sqrt(p * (1 - p) / kCount);
    EXPECT_NEAR(static_cast<double>(dropped) / kCount, p, 4 * deviation + 1e-5);
    EXPECT_NEAR(sum / kCount, 1.0, 5 * deviation / (1 - p) + 1e-5);
  }
  for (const float factor : factors({42, 1.0}, 0, 1000)) EXPECT_EQ(factor, 0);
}

TEST(DropoutFactors, AreAFunctionOfSeedAndPlace) {
  const std::vector<float> all = factors({42, 0.5}, 0, 3000);
  for (const int64_t begin : {4, 256, 260, 1024})
    for (const int64_t end : {begin + 1, begin + 255, begin + 300}) {
      const std::vector<float> part = factors({42, 0.5}, begin, end);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + begin)) << begin << " " << end;
    }
  EXPECT_NE(factors({43, 0.5}, 0, 3000), all);
}

TEST(DropoutFactors, NeighboursAndSeedsAreUnrelated) {
  constexpr int64_t kCount = 1 << 18;
  const auto agreement = [](const std::vector<float>& a, const std::vector<float>& b,
                            int64_t shift) {
    int64_t same = 0;
    for (int64_t i = 0; i + shift < kCount; ++i)
      same += a[static_cast<size_t>(i)] == b[static_cast<size_t>(i + shift)];
    return static_cast<double>(same) / static_cast<double>(kCount - shift);
  };
  const std::vector<float> one = factors({1, 0.5}, 0, kCount), two = factors({2, 0.5}, 0, kCount);
  for (const int64_t shift : {1, 2, 3, 4, 5, 8, 64, 1024})
    EXPECT_NEAR(agreement(one, one, shift), 0.5, 0.005) << shift;
  EXPECT_NEAR(agreement(one, two, 0), 0.5, 0.005);
}

template <typename T>
class DroppedAttentionKernels : public testing::Test {
 protected:
  using Array = std::vector<T>;

  /// [outer, count, size] with zeros up to [outer, packed_count, packed_size].
  Array random(int64_t outer, int64_t count, int64_t packed_count, int64_t size,
               int64_t packed_size) {
    Array array(static_cast<size_t>(outer * packed_count * packed_size), T(0));
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < count; ++i)
        for (int64_t d = 0; d < size; ++d)
          array[static_cast<size_t>((o * packed_count + i) * packed_size + d)] =
              static_cast<T>(std::normal_distribution<double>()(random_));
    return array;
  }
  static Array transposed(const Array& rows, const DroppedAttentionSizes& s) {
    Array columns(static_cast<size_t>(s.heads * s.packed_dim * s.packed_keys), T(0));
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t k = 0; k < s.keys; ++k)
        for (int64_t d = 0; d < s.packed_dim; ++d)
          columns[static_cast<size_t>((h * s.packed_dim + d) * s.packed_keys + k)] =
              rows[static_cast<size_t>((h * s.keys + k) * s.packed_dim + d)];
    return columns;
  }
  static void expect_close(const Array& found, const std::vector<double>& expected,
                           const char* what) {
    ASSERT_EQ(found.size(), expected.size());
    const double tolerance = sizeof(T) == 4 ? 1e-4 : 1e-12;
    for (size_t i = 0; i < found.size(); ++i)
      ASSERT_NEAR(found[i], expected[i], tolerance * (1 + std::abs(expected[i])))
          << what << " " << i;
  }

  std::mt19937 random_{7};
};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(DroppedAttentionKernels, Types);

TYPED_TEST(DroppedAttentionKernels, EqualTheFormula) {
  using T = TypeParam;
  struct Case {
    int64_t heads, queries, keys, dim;
    double p;
  };
  for (const Case& c : {Case{2, 5, 7, 3, 0.3}, Case{1, 1, 1, 1, 0.0}, Case{3, 20, 33, 20, 0.5},
                        Case{2, 13, 1100, 6, 0.1}, Case{1, 4, 3, 2, 1.0}}) {
    const DroppedAttentionSizes s{c.heads, c.queries, c.keys, round_up_to_lanes<T>(c.dim),
                                  round_up_to_lanes<T>(c.keys)};
    const DropoutPattern drop(99, c.p);
    const auto query = this->random(s.heads, s.queries, s.queries, c.dim, s.packed_dim),
               key = this->random(s.heads, s.keys, s.keys, c.dim, s.packed_dim),
               value = this->random(s.heads, s.keys, s.keys, c.dim, s.packed_dim),
               upstream = this->random(s.heads, s.queries, s.queries, c.dim, s.packed_dim);
    const auto key_columns = this->transposed(key, s), value_columns = this->transposed(value, s);
    // Every query has blocked keys of its own; the last one has no other.
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    std::vector<T> bias(static_cast<size_t>(s.queries * s.packed_keys), T(0));
    for (int64_t q = 0; q < s.queries; ++q)
      for (int64_t k = 0; k < s.packed_keys; ++k)
        if (k >= s.keys || (q + k) % 5 == 3 || (q > 0 && q == s.queries - 1))
          bias[static_cast<size_t>(q * s.packed_keys + k)] = -kInfinity;
    const DroppedAttentionInput<T> input{
        query.data(), key.data(),           key_columns.data(),
        value.data(), value_columns.data(), {bias.data(), s.heads, 0, s.packed_keys},
        T(0.4)};

    std::vector<double> output(query.size()), grad_query(query.size()), grad_key(key.size()),
        grad_value(key.size());
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t q = 0; q < s.queries; ++q) {
        const auto at = [&](const std::vector<T>& rows, int64_t count, int64_t row, int64_t d) {
          return static_cast<double>(
              rows[static_cast<size_t>((h * count + row) * s.packed_dim + d)]);
        };
        std::vector<double> weight(static_cast<size_t>(s.keys)), gradient(weight.size());
        std::vector<T> factor(weight.size());
        const int64_t place = (h * s.queries + q) * s.packed_keys;
        dropout_factors(drop, place, place + s.keys, factor.data());
        double sum = 0, dot = 0;
        for (int64_t k = 0; k < s.keys; ++k) {
          double product = 0;
          for (int64_t d = 0; d < c.dim; ++d)
            product += at(query, s.queries, q, d) * at(key, s.keys, k, d);
          weight[k] = std::exp(product * 0.4 + bias[static_cast<size_t>(q * s.packed_keys + k)]);
          sum += weight[k];
        }
        for (int64_t k = 0; k < s.keys; ++k) {
          weight[k] = sum > 0 ? weight[k] / sum : 0.0;
          for (int64_t d = 0; d < c.dim; ++d)
            gradient[k] += at(upstream, s.queries, q, d) * at(value, s.keys, k, d) * factor[k];
          dot += weight[k] * gradient[k];
        }
        for (int64_t k = 0; k < s.keys; ++k)
          for (int64_t d = 0; d < c.dim; ++d) {
            const size_t i = static_cast<size_t>((h * s.queries + q) * s.packed_dim + d),
                         j = static_cast<size_t>((h * s.keys + k) * s.packed_dim + d);
            const double slope = weight[k] * (gradient[k] - dot) * 0.4;
            output[i] += weight[k] * factor[k] * value[j];
            grad_query[i] += slope * key[j];
            grad_key[j] += slope * query[i];
            grad_value[j] += weight[k] * factor[k] * upstream[i];
          }
      }

    std::vector<T> found(query.size()), found_query(query.size()), found_key(key.size(), T(0)),
        found_value(key.size(), T(0)), sums(static_cast<size_t>(s.heads * s.queries));
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t begin = 0; begin < s.queries; begin += 9) {
        const int64_t end = std::min(s.queries, begin + 9);
        AlignedBuffer<T> scores((2 * (end - begin) + 1) * s.packed_keys);
        dropped_attention_forward(s, drop, input, found.data(), sums.data(), scores.data(), h,
                                  begin, end);
        T* key_sum = found_key.data() + h * s.keys * s.packed_dim;
        T* value_sum = found_value.data() + h * s.keys * s.packed_dim;
        dropped_attention_backward(s, drop, input, upstream.data(), sums.data(), found_query.data(),
                                   key_sum, value_sum, scores.data(), h, begin, end);
      }
    this->expect_close(found, output, "output");
    this->expect_close(found_query, grad_query, "grad_query");
    this->expect_close(found_key, grad_key, "grad_key");
    this->expect_close(found_value, grad_value, "grad_value");
  }
}

TYPED_TEST(DroppedAttentionKernels, TakeScoresOfAnySize) {
  using T = TypeParam;
  const DroppedAttentionSizes s{1, 1, 4, kLanes<T>, kLanes<T>};
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  std::vector<T> query(kLanes<T>, T(0)), bias(kLanes<T>, -kInfinity),
      columns(static_cast<size_t>(kLanes<T> * kLanes<T>), T(0)),
      values(static_cast<size_t>(4 * kLanes<T>), T(0)), output(kLanes<T>), sums(1);
  query[0] = 1;
  for (size_t k = 0; k < 4; ++k) {
    columns[k] = T(k) * T(3e4);  // far beyond what exp() can take
    values[k * static_cast<size_t>(kLanes<T>)] = T(k);
    bias[k] = 0;
  }
  values[static_cast<size_t>(kLanes<T>)] = T(1e38);  // exp(-6e4) is nothing, not little
  const DroppedAttentionInput<T> input{
      query.data(), nullptr, columns.data(), values.data(), nullptr, {bias.data(), 1, 0, 0}, T(1)};
  AlignedBuffer<T> scores(kLanes<T>);
  dropped_attention_forward(s, {1, 0.0}, input, output.data(), sums.data(), scores.data(), 0, 0, 1);
  EXPECT_EQ(output[0], 3);
  EXPECT_EQ(sums[0], T(9e4));
  columns[2] = std::numeric_limits<T>::quiet_NaN();
  dropped_attention_forward(s, {1, 0.0}, input, output.data(), sums.data(), scores.data(), 0, 0, 1);
  EXPECT_TRUE(std::isnan(output[0]));
}

}  // namespace
}  // namespace tessera::kernels
