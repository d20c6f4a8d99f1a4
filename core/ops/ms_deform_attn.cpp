#include "core/ops/ms_deform_attn.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <tuple>

#include "core/ops/kernels/deform_attn.h"
#include "core/ops/op_support.h"

namespace tessera {
namespace {

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

at::Tensor call_forward(const at::Tensor& value, at::IntArrayRef shapes_hw,
                        const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("tessera::ms_deform_attn", "")
                             .typed<decltype(call_forward)>();
  return op.call(value, shapes_hw, sampling_locations, attention_weights);
}

Gradients call_backward(const at::Tensor& grad_output, const at::Tensor& value,
                        at::IntArrayRef shapes_hw, const at::Tensor& sampling_locations,
                        const at::Tensor& attention_weights) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("tessera::ms_deform_attn_backward", "")
                             .typed<decltype(call_backward)>();
  return op.call(grad_output, value, shapes_hw, sampling_locations, attention_weights);
}

at::Tensor forward_cpu(const at::Tensor& value, at::IntArrayRef shapes_hw,
                       const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  const auto shape =
      ops::ms_deform_attn_shape(value, shapes_hw, sampling_locations, attention_weights);
  const auto& sizes = shape.sizes;
  const at::Tensor dense_value = value.contiguous();
  const at::Tensor locations = sampling_locations.contiguous();
  const at::Tensor weights = attention_weights.contiguous();
  at::Tensor output = at::empty({sizes.batch, sizes.queries, sizes.heads * sizes.dim},
                                value.options().memory_format(at::MemoryFormat::Contiguous));
  ops::with_float_type(value, [&](auto zero) {
    using T = decltype(zero);
    const T* value_data = dense_value.const_data_ptr<T>();
    const T* location_data = locations.const_data_ptr<T>();
    const T* weight_data = weights.const_data_ptr<T>();
    T* output_data = output.mutable_data_ptr<T>();
    at::parallel_for(0, kernels::num_forward_tasks(sizes),
                     ops::grain_size(4 * sizes.levels * sizes.points * sizes.dim),
                     [&](int64_t begin, int64_t end) {
                       kernels::ms_deform_attn_forward(sizes, shape.levels.data(), value_data,
                                                       location_data, weight_data, output_data,
                                                       begin, end);
                     });
  });
  return output;
}

Gradients backward_cpu(const at::Tensor& grad_output, const at::Tensor& value,
                       at::IntArrayRef shapes_hw, const at::Tensor& sampling_locations,
                       const at::Tensor& attention_weights) {
  const auto shape = ops::ms_deform_attn_shape(value, shapes_hw, sampling_locations,
                                               attention_weights, grad_output);
  const auto& sizes = shape.sizes;
  const at::Tensor dense_grad = grad_output.contiguous();
  const at::Tensor dense_value = value.contiguous();
  const at::Tensor locations = sampling_locations.contiguous();
  const at::Tensor weights = attention_weights.contiguous();
  at::Tensor grad_value = at::zeros_like(dense_value);
  at::Tensor grad_locations = at::empty_like(locations);
  at::Tensor grad_weights = at::empty_like(weights);
  ops::with_float_type(value, [&](auto zero) {
    using T = decltype(zero);
    const T* grad_data = dense_grad.const_data_ptr<T>();
    const T* value_data = dense_value.const_data_ptr<T>();
    const T* location_data = locations.const_data_ptr<T>();
    const T* weight_data = weights.const_data_ptr<T>();
    T* grad_value_data = grad_value.mutable_data_ptr<T>();
    T* grad_location_data = grad_locations.mutable_data_ptr<T>();
    T* grad_weight_data = grad_weights.mutable_data_ptr<T>();
    at::parallel_for(0, kernels::num_backward_tasks(sizes),
                     ops::grain_size(8 * sizes.queries * sizes.levels * sizes.points * sizes.dim),
                     [&](int64_t begin, int64_t end) {
                       kernels::ms_deform_attn_backward(sizes, shape.levels.data(), grad_data,
                                                        value_data, location_data, weight_data,
                                                        grad_value_data, grad_location_data,
                                                        grad_weight_data, begin, end);
                     });
  });
  return {grad_value, grad_locations, grad_weights};
}

class MsDeformAttn : public torch::autograd::Function<MsDeformAttn> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& value,
                            at::IntArrayRef shapes_hw, const at::Tensor& sampling_locations,
                            const at::Tensor& attention_weights) {
    at::AutoDispatchBelowADInplaceOrView below_autograd;
    context->save_for_backward({value, sampling_locations, attention_weights});
    context->saved_data["shapes_hw"] = shapes_hw.vec();
    return call_forward(value, shapes_hw, sampling_locations, attention_weights);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grad_outputs) {
    const auto saved = context->get_saved_variables();
    const auto shapes_hw = context->saved_data["shapes_hw"].toIntVector();
    auto [grad_value, grad_locations, grad_weights] =
        call_backward(grad_outputs[0], saved[0], shapes_hw, saved[1], saved[2]);
    return {grad_value, at::Tensor(), grad_locations, grad_weights};
  }
};

at::Tensor forward_autograd(const at::Tensor& value, at::IntArrayRef shapes_hw,
                            const at::Tensor& sampling_locations,
                            const at::Tensor& attention_weights) {
  return MsDeformAttn::apply(value, shapes_hw, sampling_locations, attention_weights);
}

at::Tensor forward_autocast(const at::Tensor& value, at::IntArrayRef shapes_hw,
                            const at::Tensor& sampling_locations,
                            const at::Tensor& attention_weights) {
  ops::NoAutocast no_autocast;
  return call_forward(ops::to_full_precision(value), shapes_hw,
                      ops::to_full_precision(sampling_locations),
                      ops::to_full_precision(attention_weights));
}

}  // namespace

at::Tensor ms_deform_attn(const at::Tensor& value,
                          const std::vector<std::array<int64_t, 2>>& shapes_hw,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  std::vector<int64_t> flat;
  for (const auto& [height, width] : shapes_hw) flat.insert(flat.end(), {height, width});
  return call_forward(value, flat, sampling_locations, attention_weights);
}

}  // namespace tessera

TORCH_LIBRARY_IMPL(tessera, CPU, m) {
  m.impl("ms_deform_attn", TORCH_FN(tessera::forward_cpu));
  m.impl("ms_deform_attn_backward", TORCH_FN(tessera::backward_cpu));
}

TORCH_LIBRARY_IMPL(tessera, Autograd, m) {
  m.impl("ms_deform_attn", TORCH_FN(tessera::forward_autograd));
  m.impl("ms_deform_attn_backward", torch::autograd::autogradNotImplementedFallback());
}

TORCH_LIBRARY_IMPL(tessera, AutocastCPU, m) {
  m.impl("ms_deform_attn", TORCH_FN(tessera::forward_autocast));
}

TORCH_LIBRARY_IMPL(tessera, AutocastCUDA, m) {
  m.impl("ms_deform_attn", TORCH_FN(tessera::forward_autocast));
}
