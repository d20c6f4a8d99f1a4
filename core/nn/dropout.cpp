#include "core/nn/dropout.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "core/ops/kernels/dropout.h"

namespace tessera {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

enum class Before { nothing, relu };

template <Before before>
at::Tensor dropped(const at::Tensor& x, const kernels::DropoutPattern& pattern) {
  constexpr int64_t kBlock = 4096;
  const at::Tensor from = x.contiguous();
  at::Tensor to = at::empty_like(from);
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, x.scalar_type(), "tessera::dropout", [&] {
        using Factor = std::conditional_t<std::is_same_v<scalar_t, double>, double, float>;
        const scalar_t* in = from.const_data_ptr<scalar_t>();
        scalar_t* out = to.mutable_data_ptr<scalar_t>();
        const int64_t size = from.numel(), blocks = (size + kBlock - 1) / kBlock;
        at::parallel_for(0, blocks, 8, [&](int64_t first_block, int64_t last_block) {
          Factor factors[kBlock];
          for (int64_t block = first_block; block < last_block; ++block) {
            const int64_t begin = block * kBlock, end = std::min(size, begin + kBlock);
            kernels::dropout_factors(pattern, begin, end, factors);
            for (int64_t i = begin; i < end; ++i) {
              Factor number = static_cast<Factor>(in[i]);
              if (before == Before::relu) number = number < 0 ? Factor(0) : number;
              out[i] = static_cast<scalar_t>(number * factors[i - begin]);
            }
          }
        });
      });
  return to;
}

kernels::DropoutPattern pattern_of(AutogradContext* context) {
  return {static_cast<uint64_t>(context->saved_data["seed"].toInt()),
          context->saved_data["p"].toDouble()};
}

void keep_pattern(AutogradContext* context, int64_t seed, double p) {
  context->saved_data["seed"] = seed;
  context->saved_data["p"] = p;
}

struct Dropout final : torch::autograd::Function<Dropout> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t seed, double p) {
    keep_pattern(context, seed, p);
    return dropped<Before::nothing>(x, pattern_of(context));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    // Linear, and its own transpose: so it can be differentiated as often as wanted.
    return {apply(gradients.at(0), context->saved_data["seed"].toInt(),
                  context->saved_data["p"].toDouble()),
            {},
            {}};
  }
};

struct ReluDropout final : torch::autograd::Function<ReluDropout> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t seed, double p) {
    keep_pattern(context, seed, p);
    const at::Tensor y = dropped<Before::relu>(x, pattern_of(context));
    context->save_for_backward({y});
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    // What the ReLU or the dropout made zero is zero in the output.
    const at::Tensor y = context->get_saved_variables().at(0);
    return {at::threshold_backward(gradients.at(0), y, 0) * pattern_of(context).scale(), {}, {}};
  }
};

bool drops(double p, bool is_training) {
  expect_probability(p);
  return is_training && p > 0;
}

}  // namespace

void expect_probability(double p) {
  if (!(p >= 0 && p <= 1))
    throw ConfigError("dropout: expected a probability from 0 to 1, got " + std::to_string(p) +
                      ".");
}

uint64_t draw_seed() {
  at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
  const std::lock_guard lock(generator.mutex());
  return at::check_generator<at::CPUGeneratorImpl>(generator)->random64();
}

at::Tensor with_dropout(const at::Tensor& x, double p, bool is_training) {
  if (!drops(p, is_training)) return x;
  if (!x.is_cpu()) return at::dropout(x, p, true);
  return Dropout::apply(x, static_cast<int64_t>(draw_seed()), p);
}

at::Tensor with_relu_dropout(const at::Tensor& x, double p, bool is_training) {
  if (!drops(p, is_training)) return x.relu();
  if (!x.is_cpu()) return at::dropout(x.relu(), p, true);
  return ReluDropout::apply(x, static_cast<int64_t>(draw_seed()), p);
}

}  // namespace tessera
