// The CPU kernels against their plain forms, without LibTorch. Arrays are as long as they must be
// and not a number longer, so that valgrind and the address sanitizer see every step too far.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <tuple>
#include <utility>
#include <vector>

#include "core/ops/kernels/deform_attn.h"
#include "core/ops/kernels/deform_columns.h"
#include "core/ops/kernels/plain.h"
#include "core/ops/kernels/small_gemm.h"

namespace tessera::kernels {
namespace {

template <typename T>
class Kernels : public testing::Test {
 protected:
  using Array = std::vector<T>;

  Array normal(int64_t count) {
    Array array(static_cast<size_t>(count));
    for (T& x : array) x = static_cast<T>(std::normal_distribution<double>()(random_));
    return array;
  }
  // Locations inside, at the border, outside, and not finite.
  Array locations(int64_t count) {
    Array array(static_cast<size_t>(count));
    for (T& x : array) {
      x = static_cast<T>(std::uniform_real_distribution<double>(-0.4, 1.4)(random_));
      if (random_() % 64 == 0) x = std::numeric_limits<T>::quiet_NaN();
      if (random_() % 64 == 0) x = std::numeric_limits<T>::infinity();
      if (random_() % 64 == 0) x = T(1e30);
    }
    return array;
  }
  static Array zeros(int64_t count) { return Array(static_cast<size_t>(count), T(0)); }

  static void expect_close(const Array& found, const Array& expected, const char* what) {
    ASSERT_EQ(found.size(), expected.size());
    const T tolerance = sizeof(T) == 4 ? T(2e-4) : T(1e-12);
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_LE(std::abs(found[i] - expected[i]), tolerance * (1 + std::abs(expected[i])))
          << what << " " << i << ": " << found[i] << ", not " << expected[i];
    }
  }

  std::mt19937 random_{7};
};

using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(Kernels, Types);

// Runs both attentions' kernels over all of their tasks in two uneven parts.
template <typename T, typename Sizes, typename Plain>
void check_attention(const Sizes& s, const Level* levels, const std::vector<T>& value,
                     const std::vector<T>& locations, const std::vector<T>& weights,
                     const std::vector<T>& grad_output, const Plain& plain,
                     const std::function<void(const std::vector<T>&, const std::vector<T>&,
                                              const char*)>& expect_close) {
  std::vector<T> output(grad_output.size()), expected_output(grad_output.size());
  std::vector<T> grad_value(value.size()), grad_locations(locations.size());
  std::vector<T> grad_weights(weights.size());
  std::vector<T> expected_value(value.size()), expected_locations(locations.size());
  std::vector<T> expected_weights(weights.size());
  plain(expected_output.data(), nullptr, nullptr, nullptr, nullptr);
  plain(nullptr, grad_output.data(), expected_value.data(), expected_locations.data(),
        expected_weights.data());

  std::vector<T> packed(
      static_cast<size_t>(num_heads(s) * packed_head_size<T>(num_rows(s), s.dim)));
  pack_heads(value.data(), packed.data(), num_rows(s), s.heads, s.dim, 0, num_heads(s));
  const int64_t tasks = num_query_tasks(s), part = tasks / 3;
  for (const auto& [begin, end] : {std::pair(int64_t{0}, part), std::pair(part, tasks)}) {
    deform_attn_forward(s, levels, packed.data(), 0, locations.data(), weights.data(),
                        output.data(), begin, end);
    deform_attn_backward_points(s, levels, grad_output.data(), packed.data(), 0, locations.data(),
                                weights.data(), grad_locations.data(), grad_weights.data(), begin,
                                end);
  }
  expect_close(output, expected_output, "output");
  expect_close(grad_locations, expected_locations, "grad_locations");
  expect_close(grad_weights, expected_weights, "grad_weights");
  for (int64_t lanes = 1; lanes <= 4; ++lanes) {
    deform_attn_backward_value(s, levels, grad_output.data(), locations.data(), weights.data(),
                               grad_value.data(), lanes, 0, num_value_tasks<T>(s, lanes));
    expect_close(grad_value, expected_value, "grad_value");
  }
}

TYPED_TEST(Kernels, StDeformAttnEqualsItsPlainForm) {
  using T = TypeParam;
  for (const StDeformAttnSizes& s :
       {StDeformAttnSizes{2, 3, 4, 5, 3, 7, 6, 5}, StDeformAttnSizes{1, 2, 3, 3, 2, 48, 4, 33},
        StDeformAttnSizes{1, 1, 1, 1, 1, 1, 1, 1}, StDeformAttnSizes{1, 2, 2, 2, 1, 81, 3, 16}}) {
    const int64_t points = s.batch * s.queries * s.heads * s.points;
    const auto value = this->normal(s.batch * num_rows(s) * s.heads * s.dim);
    const auto locations = this->locations(3 * points);
    const auto weights = this->normal(points);
    const auto grad = this->normal(s.batch * s.queries * s.heads * s.dim);
    check_attention<T>(
        s, nullptr, value, locations, weights, grad,
        [&](T* output, const T* grad_output, T* grad_value, T* grad_locations, T* grad_weights) {
          plain::st_deform_attn(s, value.data(), locations.data(), weights.data(), output,
                                grad_output, grad_value, grad_locations, grad_weights);
        },
        this->expect_close);
  }
}

TYPED_TEST(Kernels, MsDeformAttnEqualsItsPlainForm) {
  using T = TypeParam;
  const std::vector<Level> levels = {{4, 5, 0}, {3, 1, 20}, {1, 1, 23}};
  for (const MsDeformAttnSizes& s :
       {MsDeformAttnSizes{2, 24, 3, 7, 5, 3, 6}, MsDeformAttnSizes{1, 20, 2, 33, 4, 1, 4},
        MsDeformAttnSizes{1, 23, 1, 72, 3, 2, 9}}) {
    const int64_t points = s.batch * s.queries * s.heads * s.levels * s.points;
    const auto value = this->normal(s.batch * s.rows * s.heads * s.dim);
    const auto locations = this->locations(2 * points);
    const auto weights = this->normal(points);
    const auto grad = this->normal(s.batch * s.queries * s.heads * s.dim);
    check_attention<T>(
        s, levels.data(), value, locations, weights, grad,
        [&](T* output, const T* grad_output, T* grad_value, T* grad_locations, T* grad_weights) {
          plain::ms_deform_attn(s, levels.data(), value.data(), locations.data(), weights.data(),
                                output, grad_output, grad_value, grad_locations, grad_weights);
        },
        this->expect_close);
  }
}

TYPED_TEST(Kernels, DeformColumnsEqualTheirPlainForm) {
  using T = TypeParam;
  for (const bool masked : {false, true}) {
    for (const DeformColumnsSizes& s :
         {DeformColumnsSizes{5, 7, 12, 3, 3, 2, 5, 6, 1, 1, 1, 0, 1, 1},
          DeformColumnsSizes{4, 9, 37, 1, 3, 3, 2, 5, 2, 2, 1, 1, 1, 1},
          DeformColumnsSizes{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1}}) {
      const int64_t positions = s.output_height * s.output_width;
      const int64_t taps = s.kernel_height * s.kernel_width;
      const auto image = this->normal(s.height * s.width * s.channels);  // channels last
      auto offset = this->normal(2 * s.offset_groups * taps * positions);
      offset[0] = std::numeric_limits<T>::quiet_NaN();
      const auto mask_numbers = this->normal(s.offset_groups * taps * positions);
      const T* mask = masked ? mask_numbers.data() : nullptr;
      const auto grad = this->normal(positions * taps * s.channels);
      auto expected = this->zeros(positions * taps * s.channels);
      auto expected_image = this->zeros(s.height * s.width * s.channels);
      auto expected_offset = this->zeros(2 * s.offset_groups * taps * positions);
      auto expected_mask = this->zeros(masked ? s.offset_groups * taps * positions : 0);
      plain::deform_columns<T>(s, Border::kNoGradient, image.data(), offset.data(), mask,
                               expected.data(), nullptr, nullptr, nullptr, nullptr);
      plain::deform_columns<T>(s, Border::kNoGradient, image.data(), offset.data(), mask, nullptr,
                               grad.data(), expected_image.data(), expected_offset.data(),
                               expected_mask.data());

      const ImageStrides channels_last = {1, s.channels};
      auto packed = this->zeros(packed_image_size<T>(s)), grad_packed = packed;
      pack_image(s, image.data(), channels_last, packed.data());
      auto grad_offset = this->zeros(2 * s.offset_groups * taps * positions);
      auto grad_mask = this->zeros(masked ? s.offset_groups * taps * positions : 0);
      auto columns = this->zeros(positions * taps * s.channels);
      const int64_t part = positions / 3, column = taps * s.channels;
      for (const auto& [begin, end] : {std::pair(int64_t{0}, part), std::pair(part, positions)}) {
        deform_columns_forward(s, packed.data(), offset.data(), mask,
                               columns.data() + begin * column, column, begin, end);
        deform_columns_backward_offset(s, Border::kNoGradient, grad.data() + begin * column, column,
                                       packed.data(), offset.data(), mask, grad_offset.data(),
                                       grad_mask.data(), begin, end);
        deform_columns_backward_image(s, grad.data() + begin * column, column, offset.data(), mask,
                                      grad_packed.data(), begin, end);
      }
      auto grad_image = this->zeros(s.height * s.width * s.channels);
      unpack_image(s, grad_packed.data(), grad_image.data(), channels_last);
      this->expect_close(columns, expected, "columns");
      this->expect_close(grad_offset, expected_offset, "grad_offset");
      this->expect_close(grad_mask, expected_mask, "grad_mask");
      this->expect_close(grad_image, expected_image, "grad_image");
    }
  }
}

TYPED_TEST(Kernels, ImagesPackAlikeInEitherMemoryFormat) {
  using T = TypeParam;
  const DeformColumnsSizes s{3, 5, 10, 2, 1, 1, 3, 5, 1, 1, 0, 0, 1, 1};
  const int64_t rows = s.height * s.width;
  const auto planes = this->normal(s.channels * rows);
  auto last = planes;
  for (int64_t c = 0; c < s.channels; ++c) {
    for (int64_t row = 0; row < rows; ++row) {
      last[static_cast<size_t>(row * s.channels + c)] = planes[static_cast<size_t>(c * rows + row)];
    }
  }
  auto a = this->normal(packed_image_size<T>(s)), b = this->normal(packed_image_size<T>(s));
  pack_image(s, planes.data(), {rows, 1}, a.data());
  pack_image(s, last.data(), {1, s.channels}, b.data());
  this->expect_close(a, b, "packed");
  auto back = this->zeros(s.channels * rows);
  unpack_image(s, a.data(), back.data(), {rows, 1});
  this->expect_close(back, planes, "unpacked");
}

TYPED_TEST(Kernels, SmallGemmEqualsItsSum) {
  using T = TypeParam;
  for (const auto& [rows, depth, lanes] : {std::tuple(int64_t{13}, int64_t{5}, int64_t{3}),
                                           std::tuple(int64_t{1}, int64_t{1}, int64_t{1}),
                                           std::tuple(int64_t{6}, int64_t{17}, int64_t{2})}) {
    const int64_t columns = lanes * kLanes<T>;
    const auto a = this->normal(rows * depth), b = this->normal(depth * columns);
    const auto before = this->normal(rows * columns);
    for (const bool transposed : {false, true}) {
      const MatrixStrides strides = transposed ? MatrixStrides{1, rows} : MatrixStrides{depth, 1};
      for (const bool accumulate : {false, true}) {
        auto expected = accumulate ? before : this->zeros(rows * columns);
        for (int64_t i = 0; i < rows * columns; ++i) {
          for (int64_t k = 0; k < depth; ++k) {
            const int64_t at = i / columns * strides.row + k * strides.column;
            expected[static_cast<size_t>(i)] +=
                a[static_cast<size_t>(at)] * b[static_cast<size_t>(k * columns + i % columns)];
          }
        }
        auto found = before;
        small_gemm(a.data(), strides, b.data(), found.data(), rows, depth, columns, accumulate);
        this->expect_close(found, expected, "product");
      }
    }
  }
}

}  // namespace
}  // namespace tessera::kernels
