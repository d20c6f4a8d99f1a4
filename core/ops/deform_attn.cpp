// The two deformable attentions as operators: they differ in their shapes alone.

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <string>
#include <tuple>

#include "core/ops/kernels/deform_attn.h"
#include "core/ops/ms_deform_attn.h"
#include "core/ops/op_support.h"
#include "core/ops/st_deform_attn.h"

namespace tessera {
namespace {

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

// value, sizes of the grid, sampling_locations, attention_weights
using Forward = at::Tensor(const at::Tensor&, at::IntArrayRef, const at::Tensor&,
                           const at::Tensor&);
using Backward = Gradients(const at::Tensor&, const at::Tensor&, at::IntArrayRef, const at::Tensor&,
                           const at::Tensor&);

template <typename Attention>
at::Tensor call_forward(const at::Tensor& value, at::IntArrayRef grid, const at::Tensor& locations,
                        const at::Tensor& weights) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow(Attention::kForward, "")
                             .template typed<Forward>();
  return op.call(value, grid, locations, weights);
}

template <typename Attention>
Gradients call_backward(const at::Tensor& grad_output, const at::Tensor& value,
                        at::IntArrayRef grid, const at::Tensor& locations,
                        const at::Tensor& weights) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow(Attention::kBackward, "")
                             .template typed<Backward>();
  return op.call(grad_output, value, grid, locations, weights);
}

// Calls run(packed heads, the first of them, first task, last task) for all of a kernel's query
// tasks. Where there are heads enough for every thread, a thread packs a head, which its cache then
// holds, and goes through its queries; else all heads are packed first, and threads share their
// queries.
template <typename T, typename Sizes, typename Run>
void for_query_tasks(const at::Tensor& value, const Sizes& sizes, int64_t task_work,
                     const Run& run) {
  const int64_t heads = kernels::num_heads(sizes), rows = kernels::num_rows(sizes);
  const int64_t head_size = kernels::packed_head_size<T>(rows, sizes.dim);
  const T* from = value.const_data_ptr<T>();
  const int64_t threads = at::get_num_threads();
  if (heads % threads == 0 || heads >= 4 * threads) {
    at::parallel_for(
        0, heads, ops::grain_size(sizes.queries * task_work), [&](int64_t begin, int64_t end) {
          kernels::AlignedBuffer<T> packed(head_size);
          for (int64_t head = begin; head < end; ++head) {
            kernels::pack_heads(from, packed.data(), rows, sizes.heads, sizes.dim, head, head + 1);
            run(packed.data(), head, head * sizes.queries, (head + 1) * sizes.queries);
          }
        });
    return;
  }
  kernels::AlignedBuffer<T> packed(heads * head_size);
  at::parallel_for(0, heads, ops::grain_size(rows * sizes.dim), [&](int64_t begin, int64_t end) {
    kernels::pack_heads(from, packed.data() + begin * head_size, rows, sizes.heads, sizes.dim,
                        begin, end);
  });
  at::parallel_for(0, kernels::num_query_tasks(sizes), ops::grain_size(task_work),
                   [&](int64_t begin, int64_t end) { run(packed.data(), 0, begin, end); });
}

template <typename Attention>
at::Tensor forward_cpu(const at::Tensor& value, at::IntArrayRef grid,
                       const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  const auto shape = Attention::shape(value, grid, sampling_locations, attention_weights, {});
  const auto& sizes = shape.sizes;
  const at::Tensor dense_value = ops::to_full_precision(value).contiguous();
  const at::Tensor locations = sampling_locations.contiguous();
  const at::Tensor weights = attention_weights.contiguous();
  at::Tensor output = at::empty({sizes.batch, sizes.queries, sizes.heads * sizes.dim},
                                locations.options().memory_format(at::MemoryFormat::Contiguous));
  ops::with_float_type(dense_value, [&](auto zero) {
    using T = decltype(zero);
    const T* location_data = locations.const_data_ptr<T>();
    const T* weight_data = weights.const_data_ptr<T>();
    T* output_data = output.mutable_data_ptr<T>();
    for_query_tasks<T>(dense_value, sizes, 8 * kernels::points_per_query(sizes) * sizes.dim,
                       [&](const T* packed, int64_t first_head, int64_t begin, int64_t end) {
                         kernels::deform_attn_forward(sizes, shape.levels.data(), packed,
                                                      first_head, location_data, weight_data,
                                                      output_data, begin, end);
                       });
  });
  return output.to(value.scalar_type());
}

template <typename Attention>
Gradients backward_cpu(const at::Tensor& grad_output, const at::Tensor& value, at::IntArrayRef grid,
                       const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  const auto shape =
      Attention::shape(value, grid, sampling_locations, attention_weights, grad_output);
  const auto& sizes = shape.sizes;
  const kernels::Level* levels = shape.levels.data();
  const at::Tensor dense_grad = ops::to_full_precision(grad_output).contiguous();
  const at::Tensor dense_value = ops::to_full_precision(value).contiguous();
  const at::Tensor locations = sampling_locations.contiguous();
  const at::Tensor weights = attention_weights.contiguous();
  at::Tensor grad_value = at::empty_like(dense_value);
  at::Tensor grad_locations = at::empty_like(locations);
  at::Tensor grad_weights = at::empty_like(weights);
  const int64_t query_work = 16 * kernels::points_per_query(sizes) * sizes.dim;
  ops::with_float_type(dense_value, [&](auto zero) {
    using T = decltype(zero);
    const T* grad_data = dense_grad.const_data_ptr<T>();
    const T* location_data = locations.const_data_ptr<T>();
    const T* weight_data = weights.const_data_ptr<T>();
    T* grad_value_data = grad_value.mutable_data_ptr<T>();
    T* grad_location_data = grad_locations.mutable_data_ptr<T>();
    T* grad_weight_data = grad_weights.mutable_data_ptr<T>();
    for_query_tasks<T>(dense_value, sizes, query_work,
                       [&](const T* packed, int64_t first_head, int64_t begin, int64_t end) {
                         kernels::deform_attn_backward_points(
                             sizes, levels, grad_data, packed, first_head, location_data,
                             weight_data, grad_location_data, grad_weight_data, begin, end);
                       });
    const int64_t lanes = kernels::value_task_lanes<T>(sizes, at::get_num_threads());
    at::parallel_for(0, kernels::num_value_tasks<T>(sizes, lanes),
                     ops::grain_size(sizes.queries * query_work), [&](int64_t begin, int64_t end) {
                       kernels::deform_attn_backward_value(sizes, levels, grad_data, location_data,
                                                           weight_data, grad_value_data, lanes,
                                                           begin, end);
                     });
  });
  return {grad_value.to(value.scalar_type()), grad_locations, grad_weights};
}

template <typename Attention>
class AttentionFunction : public torch::autograd::Function<AttentionFunction<Attention>> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& value,
                            at::IntArrayRef grid, const at::Tensor& locations,
                            const at::Tensor& weights) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({value, locations, weights});
    context->saved_data["grid"] = grid.vec();
    return call_forward<Attention>(value, grid, locations, weights);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grad_outputs) {
    const auto saved = context->get_saved_variables();
    const auto grid = context->saved_data["grid"].toIntVector();
    auto [grad_value, grad_locations, grad_weights] =
        call_backward<Attention>(grad_outputs[0], saved[0], grid, saved[1], saved[2]);
    return {grad_value, at::Tensor(), grad_locations, grad_weights};
  }
};

template <typename Attention>
at::Tensor forward_autograd(const at::Tensor& value, at::IntArrayRef grid,
                            const at::Tensor& locations, const at::Tensor& weights) {
  return AttentionFunction<Attention>::apply(value, grid, locations, weights);
}

// Values travel in half precision; where and how much they are sampled stays exact, since half a
// pixel at the far end of a wide frame is beyond bfloat16.
template <typename Attention>
at::Tensor forward_autocast(const at::Tensor& value, at::IntArrayRef grid,
                            const at::Tensor& locations, const at::Tensor& weights) {
  const NoAutocast no_autocast;
  const auto device = value.device().type();
  return call_forward<Attention>(
      at::autocast::cached_cast(at::autocast::get_autocast_dtype(device), value, device), grid,
      ops::to_full_precision(locations), ops::to_full_precision(weights));
}

struct StAttention {
  static constexpr const char* kForward = "tessera::st_deform_attn";
  static constexpr const char* kBackward = "tessera::st_deform_attn_backward";
  static constexpr auto shape = ops::st_deform_attn_shape;
};

struct MsAttention {
  static constexpr const char* kForward = "tessera::ms_deform_attn";
  static constexpr const char* kBackward = "tessera::ms_deform_attn_backward";
  static constexpr auto shape = ops::ms_deform_attn_shape;
};

}  // namespace

at::Tensor st_deform_attn(const at::Tensor& value, std::array<int64_t, 3> shape_thw,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  return call_forward<StAttention>(value, shape_thw, sampling_locations, attention_weights);
}

at::Tensor ms_deform_attn(const at::Tensor& value,
                          const std::vector<std::array<int64_t, 2>>& shapes_hw,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  std::vector<int64_t> flat;
  for (const auto& [height, width] : shapes_hw) flat.insert(flat.end(), {height, width});
  return call_forward<MsAttention>(value, flat, sampling_locations, attention_weights);
}

}  // namespace tessera

TORCH_LIBRARY_IMPL(tessera, CPU, m) {
  using namespace tessera;
  m.impl("st_deform_attn", TORCH_FN(forward_cpu<StAttention>));
  m.impl("st_deform_attn_backward", TORCH_FN(backward_cpu<StAttention>));
  m.impl("ms_deform_attn", TORCH_FN(forward_cpu<MsAttention>));
  m.impl("ms_deform_attn_backward", TORCH_FN(backward_cpu<MsAttention>));
}

TORCH_LIBRARY_IMPL(tessera, Autograd, m) {
  using namespace tessera;
  m.impl("st_deform_attn", TORCH_FN(forward_autograd<StAttention>));
  m.impl("st_deform_attn_backward", torch::autograd::autogradNotImplementedFallback());
  m.impl("ms_deform_attn", TORCH_FN(forward_autograd<MsAttention>));
  m.impl("ms_deform_attn_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(tessera, AutocastCPU, m) {
  using namespace tessera;
  m.impl("st_deform_attn", TORCH_FN(forward_autocast<StAttention>));
  m.impl("ms_deform_attn", TORCH_FN(forward_autocast<MsAttention>));
}

TORCH_LIBRARY_IMPL(tessera, AutocastCUDA, m) {
  using namespace tessera;
  m.impl("st_deform_attn", TORCH_FN(forward_autocast<StAttention>));
  m.impl("ms_deform_attn", TORCH_FN(forward_autocast<MsAttention>));
}
