// The CUDA kernels against the plain forms, on an emulated device (emulation/device.h): forward,
// all gradients, and both gradients of values, in two orders of blocks and threads each. Arrays are
// as long as they must be, and the address sanitizer watches them.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <type_traits>
#include <vector>

#include "core/ops/cuda/kernels.h"
#include "core/ops/kernels/plain.h"
#include "tests/kernels/emulation/device.h"

namespace tessera::cuda {
namespace {

using kernels::Border;
using kernels::DeformColumnsSizes;
using kernels::Level;
using kernels::MsDeformAttnSizes;
using kernels::StDeformAttnSizes;

float widen(float x) {
  return x;
}
double widen(double x) {
  return x;
}
float widen(__half x) {
  return __half2float(x);
}
float widen(__nv_bfloat16 x) {
  return __bfloat162float(x);
}
template <typename T>
T narrow(double x) {
  return static_cast<T>(x);
}
template <>
__half narrow<__half>(double x) {
  return __float2half_rn(static_cast<float>(x));
}
template <>
__nv_bfloat16 narrow<__nv_bfloat16>(double x) {
  return __float2bfloat16_rn(static_cast<float>(x));
}

// What rounding to T costs, relative.
template <typename T>
constexpr double kRounding = 1e-12;
template <>
constexpr double kRounding<float> = 2e-4;
template <>
constexpr double kRounding<__half> = 2e-3;
template <>
constexpr double kRounding<__nv_bfloat16> = 1.6e-2;

template <typename T>
struct Gradients {
  std::vector<T> in_order;
  std::vector<Acc<T>> sums, slopes, weights;
};

// An operator on arrays: what its kernels and its plain form make of one case. Sizes are numbers.
template <typename T>
struct Case {
  using A = Acc<T>;
  size_t points, slopes, weights;  // the latter: numbers of their gradients
  std::vector<T> value, grad_output;
  std::function<void(T*)> forward;
  std::function<void(const ValueGradient<T>&, A*, A*)> backward;
  int64_t num_bins;
  std::function<void(int32_t*)> bins;
  // plain(value, output, grad_output, grad_value, grad_slopes, grad_weights)
  std::function<void(const A*, A*, const A*, A*, A*, A*)> plain;
};

template <typename T>
class CudaKernels : public testing::Test {
 protected:
  using A = Acc<T>;
  static constexpr A kNaN = std::numeric_limits<A>::quiet_NaN();

  void TearDown() override { emulation::set_order(0); }

  template <typename N>
  std::vector<N> normal(int64_t count) {
    std::vector<N> array(static_cast<size_t>(count));
    for (N& x : array) x = narrow<N>(std::normal_distribution<double>()(random_));
    return array;
  }
  // Locations inside, at the border, outside, and not finite.
  std::vector<A> locations(int64_t count) {
    std::vector<A> array(static_cast<size_t>(count));
    for (A& x : array) {
      x = static_cast<A>(std::uniform_real_distribution<double>(-0.4, 1.4)(random_));
      if (random_() % 64 == 0) x = kNaN;
      if (random_() % 64 == 0) x = std::numeric_limits<A>::infinity();
      if (random_() % 64 == 0) x = A(-1e30);
    }
    return array;
  }

  // Bit for bit, so NaN (not written) equals NaN; compared with the plain form before.
  template <typename N>
  static bool identical(const std::vector<N>& a, const std::vector<N>& b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(N)) == 0);
  }

  template <typename N>
  static void expect_close(const std::vector<N>& found, const std::vector<A>& expected,
                           double tolerance, const char* what) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      const double error = std::abs(double(widen(found[i])) - double(expected[i]));
      ASSERT_LE(error, tolerance * (1 + std::abs(double(expected[i]))))
          << what << " " << i << ": " << widen(found[i]) << ", not " << expected[i];
    }
  }

  static std::vector<T> run_forward(const Case<T>& c) {
    std::vector<T> output(c.grad_output.size(), narrow<T>(kNaN));
    c.forward(output.data());
    return output;
  }

  static Gradients<T> run_backward(const Case<T>& c, bool in_order) {
    Gradients<T> found;
    found.slopes.assign(c.slopes, kNaN);
    found.weights.assign(c.weights, kNaN);
    ValueGradient<T> to;
    std::vector<int32_t> bins(c.points, -1), starts(static_cast<size_t>(c.num_bins), -1);
    std::vector<int64_t> order(bins.size());
    if (in_order) {
      c.bins(bins.data());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return bins[static_cast<size_t>(a)] < bins[static_cast<size_t>(b)];
      });
      std::sort(bins.begin(), bins.end());
      EXPECT_TRUE(bins.empty() || (bins.front() >= 0 && bins.back() < c.num_bins));
      found.in_order.assign(c.value.size(), narrow<T>(kNaN));
      to.in_order = found.in_order.data();
      to.sorted_bins = bins.data();
      to.order = order.data();
      to.starts = starts.data();
    } else {
      found.sums.assign(c.value.size(), A(0));
      to.sums = found.sums.data();
    }
    c.backward(to, found.slopes.data(), c.weights == 0 ? nullptr : found.weights.data());
    return found;
  }

  void check(const Case<T>& c) {
    std::vector<A> value(c.value.size()), grad_output(c.grad_output.size());
    std::transform(c.value.begin(), c.value.end(), value.begin(), [](T x) { return widen(x); });
    std::transform(c.grad_output.begin(), c.grad_output.end(), grad_output.begin(),
                   [](T x) { return widen(x); });
    std::vector<A> output(grad_output.size()), grad_value(value.size());
    std::vector<A> grad_slopes(c.slopes), grad_weights(c.weights);
    c.plain(value.data(), output.data(), nullptr, nullptr, nullptr, nullptr);
    c.plain(value.data(), nullptr, grad_output.data(), grad_value.data(), grad_slopes.data(),
            grad_weights.data());

    emulation::set_order(0);
    const std::vector<T> found = run_forward(c);
    const Gradients<T> added = run_backward(c, false), ordered = run_backward(c, true);
    expect_close(found, output, kRounding<T>, "output");
    expect_close(added.sums, grad_value, kRounding<A>, "added gradient of value");
    expect_close(ordered.in_order, grad_value, kRounding<T>, "ordered gradient of value");
    for (const auto* gradients : {&added, &ordered}) {
      expect_close(gradients->slopes, grad_slopes, kRounding<A>, "gradient of locations");
      expect_close(gradients->weights, grad_weights, kRounding<A>, "gradient of weights");
    }
    emulation::set_order(random_seed_++);
    ASSERT_TRUE(identical(run_forward(c), found)) << "output";
    const Gradients<T> again = run_backward(c, false), same = run_backward(c, true);
    for (const auto* gradients : {&again, &same, &ordered}) {
      ASSERT_TRUE(identical(gradients->slopes, added.slopes));
      ASSERT_TRUE(identical(gradients->weights, added.weights));
    }
    ASSERT_TRUE(identical(same.in_order, ordered.in_order));
    expect_close(again.sums, grad_value, kRounding<A>, "added gradient of value");
  }

  Case<T> st_case(const StDeformAttnSizes& s) {
    const int64_t slots = s.batch * s.queries * s.heads, points = slots * s.points;
    locations_ = locations(3 * points);
    weights_ = normal<A>(points);
    Case<T> c{locations_.size() / 3,
              locations_.size(),
              weights_.size(),
              normal<T>(s.batch * s.frames * s.height * s.width * s.heads * s.dim),
              normal<T>(slots * s.dim),
              {},
              {},
              st_deform_attn_num_bins(s),
              {},
              {}};
    c.bins = [=, this](int32_t* bins) { st_deform_attn_bins(s, locations_.data(), bins, nullptr); };
    value_ = c.value;
    grad_output_ = c.grad_output;
    c.forward = [=, this](T* output) {
      st_deform_attn_forward<T>(s, value_.data(), locations_.data(), weights_.data(), output,
                                nullptr);
    };
    c.backward = [=, this](const ValueGradient<T>& to, A* slopes, A* weights) {
      st_deform_attn_backward<T>(s, grad_output_.data(), value_.data(), locations_.data(),
                                 weights_.data(), to, slopes, weights, nullptr);
    };
    c.plain = [=, this](const A* value, A* output, const A* grad_output, A* grad_value, A* slopes,
                        A* weights) {
      kernels::plain::st_deform_attn(s, value, locations_.data(), weights_.data(), output,
                                     grad_output, grad_value, slopes, weights);
    };
    return c;
  }

  Case<T> ms_case(const MsDeformAttnSizes& s, const std::vector<Level>& levels) {
    const int64_t slots = s.batch * s.queries * s.heads, points = slots * s.levels * s.points;
    locations_ = locations(2 * points);
    weights_ = normal<A>(points);
    Case<T> c{locations_.size() / 2,
              locations_.size(),
              weights_.size(),
              normal<T>(s.batch * s.rows * s.heads * s.dim),
              normal<T>(slots * s.dim),
              {},
              {},
              ms_deform_attn_num_bins(s, levels.data()),
              {},
              {}};
    c.bins = [=, this](int32_t* bins) {
      ms_deform_attn_bins(s, levels.data(), locations_.data(), bins, nullptr);
    };
    value_ = c.value;
    grad_output_ = c.grad_output;
    c.forward = [=, this](T* output) {
      ms_deform_attn_forward<T>(s, levels.data(), value_.data(), locations_.data(), weights_.data(),
                                output, nullptr);
    };
    c.backward = [=, this](const ValueGradient<T>& to, A* slopes, A* weights) {
      ms_deform_attn_backward<T>(s, levels.data(), grad_output_.data(), value_.data(),
                                 locations_.data(), weights_.data(), to, slopes, weights, nullptr);
    };
    c.plain = [=, this](const A* value, A* output, const A* grad_output, A* grad_value, A* slopes,
                        A* weights) {
      kernels::plain::ms_deform_attn(s, levels.data(), value, locations_.data(), weights_.data(),
                                     output, grad_output, grad_value, slopes, weights);
    };
    return c;
  }

  Case<T> columns_case(const DeformColumnsSizes& s, bool masked, Border border) {
    const int64_t positions = s.output_height * s.output_width;
    const int64_t taps = s.kernel_height * s.kernel_width;
    locations_ = normal<A>(2 * s.offset_groups * taps * positions);
    for (size_t i = 0; i < locations_.size(); i += 13) locations_[i] = kNaN;
    for (size_t i = 5; i < locations_.size(); i += 11) locations_[i] = std::round(locations_[i]);
    weights_ = normal<A>(masked ? s.offset_groups * taps * positions : 0);
    Case<T> c{locations_.size() / 2,
              locations_.size(),
              weights_.size(),
              normal<T>(s.height * s.width * s.channels),
              normal<T>(positions * taps * s.channels),
              {},
              {},
              deform_columns_num_bins(s),
              {},
              {}};
    c.bins = [=, this](int32_t* bins) { deform_columns_bins(s, locations_.data(), bins, nullptr); };
    value_ = c.value;
    grad_output_ = c.grad_output;
    const A* mask = masked ? weights_.data() : nullptr;
    c.forward = [=, this](T* output) {
      if constexpr (std::is_same_v<T, A>) {
        deform_columns_forward<T>(s, value_.data(), locations_.data(), mask, output, nullptr);
      }
    };
    c.backward = [=, this](const ValueGradient<T>& to, A* slopes, A* weights) {
      if constexpr (std::is_same_v<T, A>) {
        deform_columns_backward<T>(s, border, grad_output_.data(), value_.data(), locations_.data(),
                                   mask, to, slopes, weights, nullptr);
      }
    };
    c.plain = [=, this](const A* value, A* output, const A* grad_output, A* grad_value, A* slopes,
                        A* weights) {
      kernels::plain::deform_columns(s, border, value, locations_.data(), mask, output, grad_output,
                                     grad_value, slopes, weights);
    };
    return c;
  }

  std::mt19937 random_{7};
  uint64_t random_seed_ = 1;
  std::vector<A> locations_, weights_;
  std::vector<T> value_, grad_output_;
};

using Types = testing::Types<float, double, __half, __nv_bfloat16>;
TYPED_TEST_SUITE(CudaKernels, Types);

TYPED_TEST(CudaKernels, StDeformAttnEqualsItsPlainForm) {
  for (const StDeformAttnSizes& s : {
           StDeformAttnSizes{2, 3, 4, 5, 3, 7, 6, 5},
           StDeformAttnSizes{1, 2, 3, 3, 2, 48, 5, 33},  // Deformable VisTR's head
           StDeformAttnSizes{1, 1, 1, 1, 1, 1, 1, 1}, StDeformAttnSizes{1, 2, 2, 2, 1, 81, 3, 16},
           StDeformAttnSizes{1, 2, 3, 4, 8, 32, 7, 4}, StDeformAttnSizes{1, 5, 1, 3, 2, 12, 9, 2},
           StDeformAttnSizes{1, 2, 2, 3, 1, 260, 2, 3},   // more channels than a warp takes
           StDeformAttnSizes{1, 2, 1, 2, 1, 2112, 1, 2},  // ... than a block takes
           StDeformAttnSizes{1, 1, 7, 1, 2, 24, 40, 1},   // a tile of many slots
           StDeformAttnSizes{3, 1, 2, 2, 1, 6, 4, 70},    // a tile's points in several chunks
           StDeformAttnSizes{1, 2, 3, 3, 5, 64, 11, 9},
           StDeformAttnSizes{1, 1, 1, 1, 2, 8, 3, 300},  // all points in few bins
       }) {
    SCOPED_TRACE(testing::Message() << "heads of " << s.dim << ", points " << s.points);
    this->check(this->st_case(s));
  }
}

TYPED_TEST(CudaKernels, MsDeformAttnEqualsItsPlainForm) {
  const std::vector<Level> unequal = {{4, 5, 0}, {3, 1, 20}, {1, 1, 23}, {1, 6, 24}};
  std::vector<Level> frames;  // frames as levels
  for (int64_t t = 0; t < 36; ++t) frames.push_back({2, 3, 6 * t});
  const auto run = [&](const MsDeformAttnSizes& s, const std::vector<Level>& levels) {
    SCOPED_TRACE(testing::Message() << s.levels << " levels, heads of " << s.dim);
    this->check(this->ms_case(s, levels));
  };
  run({2, 30, 3, 7, 5, 4, 6}, unequal);
  run({1, 24, 2, 33, 4, 3, 4}, unequal);
  run({1, 23, 1, 72, 3, 2, 9}, unequal);
  run({1, 20, 8, 32, 9, 1, 4}, unequal);
  run({1, 30, 8, 32, 6, 4, 4}, unequal);
  run({1, 30, 2, 48, 5, 4, 5}, unequal);
  run({2, 30, 1, 1, 5, 4, 3}, unequal);
  run({1, 30, 1, 132, 3, 4, 1}, unequal);
  run({3, 24, 1, 16, 2, 3, 31}, unequal);
  run({1, 216, 2, 32, 3, 36, 4}, frames);
  run({1, 216, 1, 5, 2, 36, 1}, frames);
}

TYPED_TEST(CudaKernels, DeformColumnsEqualTheirPlainForm) {
  if constexpr (std::is_same_v<TypeParam, Acc<TypeParam>>) {
    for (const DeformColumnsSizes& s : {
             DeformColumnsSizes{5, 7, 12, 3, 3, 2, 5, 6, 1, 1, 1, 0, 1, 1},
             DeformColumnsSizes{4, 9, 37, 1, 3, 3, 2, 5, 2, 2, 1, 1, 1, 1},
             DeformColumnsSizes{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1},
             DeformColumnsSizes{6, 5, 48, 1, 3, 3, 6, 5, 1, 1, 1, 1, 1, 1},  // VisTR's last layer
             DeformColumnsSizes{3, 8, 64, 4, 1, 5, 3, 8, 1, 1, 0, 2, 1, 1},
             DeformColumnsSizes{7, 4, 6, 2, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2},
         }) {
      for (const bool masked : {false, true}) {
        SCOPED_TRACE(testing::Message() << s.channels << " channels, mask " << masked);
        // Both conventions of the border with and without a mask would show no more.
        const Border border = masked ? Border::kOneSidedGradient : Border::kNoGradient;
        this->check(this->columns_case(s, masked, border));
      }
    }
  } else {
    GTEST_SKIP() << "convolution is of float and double alone";
  }
}

TYPED_TEST(CudaKernels, SizesOfZeroGiveZerosOrNothing) {
  for (const StDeformAttnSizes& s :
       {StDeformAttnSizes{0, 2, 3, 4, 2, 8, 5, 3}, StDeformAttnSizes{2, 2, 3, 4, 0, 8, 5, 3},
        StDeformAttnSizes{2, 2, 3, 4, 2, 0, 5, 3}, StDeformAttnSizes{2, 2, 3, 4, 2, 8, 0, 3},
        StDeformAttnSizes{2, 2, 3, 4, 2, 8, 5, 0}}) {
    this->check(this->st_case(s));
  }
  const std::vector<Level> levels = {{4, 5, 0}, {1, 1, 20}};
  for (const MsDeformAttnSizes& s :
       {MsDeformAttnSizes{0, 21, 2, 8, 5, 2, 3}, MsDeformAttnSizes{1, 21, 2, 0, 5, 2, 3},
        MsDeformAttnSizes{1, 21, 2, 8, 0, 2, 3}, MsDeformAttnSizes{1, 21, 2, 8, 5, 2, 0}}) {
    this->check(this->ms_case(s, levels));
  }
}

// Where arrays begin between vectors, kernels take channels one by one.
TYPED_TEST(CudaKernels, ArraysNeedNotBeAligned) {
  using T = TypeParam;
  const StDeformAttnSizes s{1, 2, 3, 3, 2, 48, 5, 6};
  Case<T> c = this->st_case(s);
  this->value_.insert(this->value_.begin(), T{});
  c.forward = [&](T* output) {
    st_deform_attn_forward<T>(s, this->value_.data() + 1, this->locations_.data(),
                              this->weights_.data(), output, nullptr);
  };
  c.backward = [&](const ValueGradient<T>& to, Acc<T>* slopes, Acc<T>* weights) {
    st_deform_attn_backward<T>(s, this->grad_output_.data(), this->value_.data() + 1,
                               this->locations_.data(), this->weights_.data(), to, slopes, weights,
                               nullptr);
  };
  this->check(c);
}

// Otherwise the orders that the tests above go through would show nothing.
TYPED_TEST(CudaKernels, AddedGradientsDoDependOnTheOrder) {
  const Case<TypeParam> c = this->st_case({1, 1, 2, 2, 1, 16, 40, 40});
  const auto first = this->run_backward(c, false);
  emulation::set_order(3);
  EXPECT_FALSE(this->identical(this->run_backward(c, false).sums, first.sums));
}

}  // namespace
}  // namespace tessera::cuda
