#include "core/nn/dot_product_attention.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/nn/dropout.h"
#include "core/nn/precision.h"
#include "core/ops/kernels/dropped_attention.h"
#include "core/ops/kernels/packed_heads.h"
#include "core/ops/op_support.h"
#include "core/structures/shape.h"

namespace tessera {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The kernels' arrays of query [N,M,L,D], key and value [N,M,S,D].
template <typename T>
class Packed {
 public:
  Packed(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
         const at::Tensor& blocked)
      : dim_(query.size(3)) {
    sizes_.heads = query.size(0) * query.size(1);
    sizes_.queries = query.size(2);
    sizes_.keys = key.size(2);
    sizes_.packed_dim = kernels::round_up_to_lanes<T>(dim_);
    // One lane at least: all of no keys are blocked.
    sizes_.packed_keys = kernels::round_up_to_lanes<T>(std::max<int64_t>(sizes_.keys, 1));
    input_.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(dim_)));
    input_.query = keep(rows(query));
    input_.bias = bias(blocked, query.size(1));
    key_ = key;
    value_ = value;
  }

  const kernels::DroppedAttentionSizes& sizes() const { return sizes_; }
  const kernels::DroppedAttentionInput<T>& for_forward() {
    input_.key_columns = keep(columns(key_));
    input_.value_rows = keep(rows(value_));
    return input_;
  }
  const kernels::DroppedAttentionInput<T>& for_backward() {
    input_.key_rows = keep(rows(key_));
    input_.key_columns = keep(columns(key_));
    input_.value_columns = keep(columns(value_));
    return input_;
  }
  /// [N,M,L,D] -> [N,M,L,packed_dim]
  at::Tensor rows(const at::Tensor& x) const {
    return at::constant_pad_nd(x, {0, sizes_.packed_dim - dim_}).contiguous();
  }
  at::Tensor unpacked(const at::Tensor& x) const { return x.narrow(-1, 0, dim_); }

 private:
  at::Tensor columns(const at::Tensor& x) const {
    return at::constant_pad_nd(x.transpose(2, 3),
                               {0, sizes_.packed_keys - sizes_.keys, 0, sizes_.packed_dim - dim_})
        .contiguous();
  }
  kernels::ScoreBias<T> bias(const at::Tensor& blocked, int64_t heads_of_clip) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const auto options = at::TensorOptions(c10::CppTypeToScalarType<T>::value);
    const int64_t padding = sizes_.packed_keys - sizes_.keys;
    if (!blocked.defined()) {
      at::Tensor row = at::zeros(sizes_.packed_keys, options);
      row.narrow(0, sizes_.keys, padding).fill_(-kInfinity);
      return {keep(row), sizes_.heads, 0, 0};
    }
    const at::Tensor rows = at::zeros({blocked.size(0), blocked.size(2), sizes_.keys}, options)
                                .masked_fill_(blocked.select(1, 0), -kInfinity);
    return {keep(at::constant_pad_nd(rows, {0, padding}, -kInfinity).contiguous()), heads_of_clip,
            blocked.size(2) * sizes_.packed_keys, blocked.size(2) == 1 ? 0 : sizes_.packed_keys};
  }
  const T* keep(const at::Tensor& array) {
    arrays_.push_back(array);
    return array.const_data_ptr<T>();
  }

  int64_t dim_;
  kernels::DroppedAttentionSizes sizes_{};
  kernels::DroppedAttentionInput<T> input_{};
  at::Tensor key_, value_;
  std::vector<at::Tensor> arrays_;
};

template <typename T>
std::pair<at::Tensor, at::Tensor> forward(const at::Tensor& query, const at::Tensor& key,
                                          const at::Tensor& value, const at::Tensor& blocked,
                                          const kernels::DropoutPattern& drop) {
  Packed<T> packed(query, key, value, blocked);
  const auto& sizes = packed.sizes();
  const auto& input = packed.for_forward();
  at::Tensor output = at::empty({query.size(0), query.size(1), sizes.queries, sizes.packed_dim},
                                query.options().memory_format(at::MemoryFormat::Contiguous));
  at::Tensor log_sums = at::empty({sizes.heads, sizes.queries}, output.options());
  T* out = output.mutable_data_ptr<T>();
  T* sums = log_sums.mutable_data_ptr<T>();
  const int64_t step = kernels::queries_per_task<T>(sizes),
                tasks_of_head = (sizes.queries + step - 1) / step;
  at::parallel_for(0, sizes.heads * tasks_of_head, ops::grain_size(step * sizes.packed_keys * 16),
                   [&](int64_t first, int64_t last) {
                     kernels::AlignedBuffer<T> scores(step * sizes.packed_keys);
                     for (int64_t task = first; task < last; ++task) {
                       const int64_t begin = task % tasks_of_head * step;
                       kernels::dropped_attention_forward(
                           sizes, drop, input, out, sums, scores.data(), task / tasks_of_head,
                           begin, std::min(sizes.queries, begin + step));
                     }
                   });
  return {packed.unpacked(output), log_sums};
}

template <typename T>
variable_list backward(const at::Tensor& grad_output, const at::Tensor& query,
                       const at::Tensor& key, const at::Tensor& value, const at::Tensor& blocked,
                       const at::Tensor& log_sums, const kernels::DropoutPattern& drop) {
  Packed<T> packed(query, key, value, blocked);
  const auto& sizes = packed.sizes();
  const auto& input = packed.for_backward();
  const at::Tensor gradient = packed.rows(grad_output);
  const int64_t step = kernels::queries_per_task<T>(sizes),
                steps = (sizes.queries + step - 1) / step, threads = at::get_num_threads();
  // Queries of a head add to the same keys: each of its parts has sums of its own.
  const bool enough_heads = sizes.heads % threads == 0 || sizes.heads >= 4 * threads;
  const int64_t parts =
      enough_heads ? 1
                   : std::clamp<int64_t>(4 * threads / sizes.heads, 1, std::max(steps, int64_t{1}));
  const auto options = gradient.options().memory_format(at::MemoryFormat::Contiguous);
  at::Tensor grad_query = at::empty_like(gradient, options);
  at::Tensor grad_key =
      at::zeros({parts, query.size(0), query.size(1), sizes.keys, sizes.packed_dim}, options);
  at::Tensor grad_value = at::zeros_like(grad_key);
  const T* from = gradient.const_data_ptr<T>();
  const T* sums = log_sums.const_data_ptr<T>();
  T* to_query = grad_query.mutable_data_ptr<T>();
  T* to_key = grad_key.mutable_data_ptr<T>();
  T* to_value = grad_value.mutable_data_ptr<T>();
  at::parallel_for(
      0, sizes.heads * parts, ops::grain_size(sizes.queries * sizes.packed_keys * 40 / parts),
      [&](int64_t first, int64_t last) {
        kernels::AlignedBuffer<T> scores((2 * step + 1) * sizes.packed_keys);
        for (int64_t task = first; task < last; ++task) {
          const int64_t head = task / parts, part = task % parts;
          const int64_t sum = (part * sizes.heads + head) * sizes.keys * sizes.packed_dim;
          for (int64_t i = part; i < steps; i += parts)
            kernels::dropped_attention_backward(sizes, drop, input, from, sums, to_query,
                                                to_key + sum, to_value + sum, scores.data(), head,
                                                i * step, std::min(sizes.queries, (i + 1) * step));
        }
      });
  return {packed.unpacked(grad_query), packed.unpacked(grad_key.sum(0)),
          packed.unpacked(grad_value.sum(0))};
}

struct DroppedAttention final : torch::autograd::Function<DroppedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& query,
                            const at::Tensor& key, const at::Tensor& value,
                            const std::optional<at::Tensor>& mask, int64_t seed, double p) {
    const at::Tensor blocked = mask.value_or(at::Tensor());
    context->saved_data["seed"] = seed;
    context->saved_data["p"] = p;
    const kernels::DropoutPattern drop(static_cast<uint64_t>(seed), p);
    std::pair<at::Tensor, at::Tensor> result;
    ops::with_float_type(query, [&](auto zero) {
      result = tessera::forward<decltype(zero)>(query, key, value, blocked, drop);
    });
    context->save_for_backward({query, key, value, blocked, result.second});
    return result.first;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    if (at::GradMode::is_enabled() && gradients.at(0).requires_grad())
      throw RuntimeError(
          "dot_product_attention: expected one derivative at most where weights are dropped on a "
          "CPU, got a second; train with dropout = 0.");
    const variable_list saved = context->get_saved_variables();
    const kernels::DropoutPattern drop(static_cast<uint64_t>(context->saved_data["seed"].toInt()),
                                       context->saved_data["p"].toDouble());
    variable_list found;
    ops::with_float_type(saved[0], [&](auto zero) {
      found = tessera::backward<decltype(zero)>(gradients.at(0), saved[0], saved[1], saved[2],
                                                saved[3], saved[4], drop);
    });
    found.resize(6);
    return found;
  }
};

}  // namespace

at::Tensor dot_product_attention(const at::Tensor& query, const at::Tensor& key,
                                 const at::Tensor& value, const at::Tensor& blocked,
                                 double dropout) {
  ShapeBinding sizes;
  expect_shape(query, "[N,M,L,D]", "attention query", sizes);
  expect_shape(key, "[N,M,S,D]", "attention key", sizes);
  expect_shape(value, "[N,M,S,D]", "attention value", sizes);
  if (blocked.defined()) {
    expect_shape(blocked, "[N,1,*,S]", "attention's blocked pairs", sizes);
    if (blocked.size(2) != 1)
      expect_shape(blocked, "[N,1,L,S]", "attention's blocked pairs", sizes);
  }
  expect_probability(dropout);
  if (dropout == 0 || !query.is_cpu()) {
    std::optional<at::Tensor> allowed;  // LibTorch's operator looks where true
    if (blocked.defined()) allowed = blocked.logical_not();
    return at::scaled_dot_product_attention(query, key, value, allowed, dropout);
  }
  const std::optional<at::Tensor> mask = blocked.defined() ? std::optional(blocked) : std::nullopt;
  return DroppedAttention::apply(to_full_precision(query), to_full_precision(key),
                                 to_full_precision(value), mask, static_cast<int64_t>(draw_seed()),
                                 dropout)
      .to(query.scalar_type());
}

}  // namespace tessera
