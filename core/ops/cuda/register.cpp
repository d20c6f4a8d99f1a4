// The CUDA implementations of the operators: checks and memory from ATen, work from the .cu files.
// Loading this library registers them; autograd and autocast are in the core already.

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <torch/library.h>

#include <limits>
#include <string>
#include <tuple>

#include "core/error.h"
#include "core/ops/cuda/kernels.h"
#include "core/ops/op_support.h"

namespace tessera::cuda {
namespace {

using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

void expect_launched(cudaError_t error, const char* op) {
  if (error == cudaSuccess) return;
  throw RuntimeError(std::string(op) + ": expected the CUDA kernel to start, got " +
                     cudaGetErrorString(error) + ".");
}

template <typename T>
const T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

cudaStream_t current_stream() {
  return c10::cuda::getCurrentCUDAStream().stream();
}

// Calls `body` with a number of the type that the kernels use for `tensor`'s.
template <typename Body>
void with_kernel_type(const at::Tensor& tensor, const Body& body) {
  switch (tensor.scalar_type()) {
    case at::kHalf:
      return body(__half{});
    case at::kBFloat16:
      return body(__nv_bfloat16{});
    default:
      ops::with_float_type(tensor, body);
  }
}

template <typename T>
T* mutable_data(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}
template <typename T>
const T* const_data(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

// The gradient of values and what making it takes: sums of atomics, or, where the program has asked
// for reproducible results, a sum in the order of sorted points.
class ValueGradientTensor {
 public:
  // find_bins(int32_t*) writes the bins of `points` points, of which there are `num_bins`.
  template <typename FindBins>
  ValueGradientTensor(const char* op, const at::Tensor& value, int64_t points, int64_t num_bins,
                      const FindBins& find_bins)
      : type_(value.scalar_type()) {
    if (!at::globalContext().deterministicAlgorithms()) {
      gradient_ = at::zeros(value.sizes(),
                            value.options().dtype(type_ == at::kDouble ? at::kDouble : at::kFloat));
      return;
    }
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    if (points >= kMost || num_bins >= kMost) {
      throw ShapeError(std::string(op) + ": expected fewer than 2^31 sampling points and cells " +
                       "where algorithms must be deterministic, got " + std::to_string(points) +
                       " and " + std::to_string(num_bins) + ". Use smaller batches.");
    }
    gradient_ = at::empty(value.sizes(), value.options());
    const auto ints = value.options().dtype(at::kInt);
    const at::Tensor bins = at::empty({points}, ints);
    expect_launched(find_bins(bins.mutable_data_ptr<int32_t>()), op);
    std::tie(sorted_bins_, order_) = at::sort(bins, /*stable=*/true, 0, false);
    starts_ = at::empty({num_bins}, ints);
  }

  template <typename T>
  ValueGradient<T> pointers() const {
    if (!starts_.defined())
      return {mutable_data<Acc<T>>(gradient_), nullptr, nullptr, nullptr, nullptr};
    return {nullptr, mutable_data<T>(gradient_), const_data<int32_t>(sorted_bins_),
            const_data<int64_t>(order_), mutable_data<int32_t>(starts_)};
  }

  at::Tensor take() const { return gradient_.to(type_); }

 private:
  at::ScalarType type_;
  at::Tensor gradient_, sorted_bins_, order_, starts_;
};

// Both attentions as one: only the pyramid's takes levels.
struct StAttention {
  static constexpr const char* kName = "st_deform_attn";
  using Shape = ops::DeformAttnShape<kernels::StDeformAttnSizes>;
  static Shape shape(const at::Tensor& value, at::IntArrayRef grid, const at::Tensor& locations,
                     const at::Tensor& weights, const at::Tensor& grad_output) {
    return ops::st_deform_attn_shape(value, grid, locations, weights, grad_output);
  }
  static int64_t num_bins(const Shape& shape) { return st_deform_attn_num_bins(shape.sizes); }
  template <typename A>
  static cudaError_t bins(const Shape& shape, const A* locations, int32_t* bins) {
    return st_deform_attn_bins(shape.sizes, locations, bins, current_stream());
  }
  template <typename T, typename... Arguments>
  static cudaError_t forward(const Shape& shape, const Arguments&... arguments) {
    return st_deform_attn_forward<T>(shape.sizes, arguments..., current_stream());
  }
  template <typename T, typename... Arguments>
  static cudaError_t backward(const Shape& shape, const Arguments&... arguments) {
    return st_deform_attn_backward<T>(shape.sizes, arguments..., current_stream());
  }
};

struct MsAttention {
  static constexpr const char* kName = "ms_deform_attn";
  using Shape = ops::DeformAttnShape<kernels::MsDeformAttnSizes>;
  static Shape shape(const at::Tensor& value, at::IntArrayRef grid, const at::Tensor& locations,
                     const at::Tensor& weights, const at::Tensor& grad_output) {
    Shape shape = ops::ms_deform_attn_shape(value, grid, locations, weights, grad_output);
    if (shape.levels.size() > kMaxLevels) {
      throw ShapeError("ms_deform_attn shapes_hw: expected at most " + std::to_string(kMaxLevels) +
                       " levels on CUDA, got " + std::to_string(shape.levels.size()) + ".");
    }
    return shape;
  }
  static int64_t num_bins(const Shape& shape) {
    return ms_deform_attn_num_bins(shape.sizes, shape.levels.data());
  }
  template <typename A>
  static cudaError_t bins(const Shape& shape, const A* locations, int32_t* bins) {
    return ms_deform_attn_bins(shape.sizes, shape.levels.data(), locations, bins, current_stream());
  }
  template <typename T, typename... Arguments>
  static cudaError_t forward(const Shape& shape, const Arguments&... arguments) {
    return ms_deform_attn_forward<T>(shape.sizes, shape.levels.data(), arguments...,
                                     current_stream());
  }
  template <typename T, typename... Arguments>
  static cudaError_t backward(const Shape& shape, const Arguments&... arguments) {
    return ms_deform_attn_backward<T>(shape.sizes, shape.levels.data(), arguments...,
                                      current_stream());
  }
};

template <typename Attention>
at::Tensor attention_forward(const at::Tensor& value, at::IntArrayRef grid,
                             const at::Tensor& sampling_locations,
                             const at::Tensor& attention_weights) {
  const auto shape = Attention::shape(value, grid, sampling_locations, attention_weights, {});
  const auto& sizes = shape.sizes;
  const c10::cuda::CUDAGuard device(value.device());
  const at::Tensor dense_value = value.contiguous();
  const at::Tensor locations = sampling_locations.contiguous();
  const at::Tensor weights = attention_weights.contiguous();
  at::Tensor output =
      at::empty({sizes.batch, sizes.queries, sizes.heads * sizes.dim}, value.options());
  with_kernel_type(value, [&](auto zero) {
    using T = decltype(zero);
    expect_launched(Attention::template forward<T>(
                        shape, const_data<T>(dense_value), const_data<Acc<T>>(locations),
                        const_data<Acc<T>>(weights), mutable_data<T>(output)),
                    Attention::kName);
  });
  return output;
}

template <typename Attention>
Gradients attention_backward(const at::Tensor& grad_output, const at::Tensor& value,
                             at::IntArrayRef grid, const at::Tensor& sampling_locations,
                             const at::Tensor& attention_weights) {
  const auto shape =
      Attention::shape(value, grid, sampling_locations, attention_weights, grad_output);
  const c10::cuda::CUDAGuard device(value.device());
  const at::Tensor dense_grad = grad_output.contiguous();
  const at::Tensor dense_value = value.contiguous();
  const at::Tensor locations = sampling_locations.contiguous();
  const at::Tensor weights = attention_weights.contiguous();
  at::Tensor grad_locations = at::empty(locations.sizes(), locations.options());
  at::Tensor grad_weights = at::empty(weights.sizes(), weights.options());
  at::Tensor grad_value;
  with_kernel_type(value, [&](auto zero) {
    using T = decltype(zero);
    const ValueGradientTensor to(
        Attention::kName, value, weights.numel(), Attention::num_bins(shape),
        [&](int32_t* bins) { return Attention::bins(shape, const_data<Acc<T>>(locations), bins); });
    expect_launched(
        Attention::template backward<T>(
            shape, const_data<T>(dense_grad), const_data<T>(dense_value),
            const_data<Acc<T>>(locations), const_data<Acc<T>>(weights), to.template pointers<T>(),
            mutable_data<Acc<T>>(grad_locations), mutable_data<Acc<T>>(grad_weights)),
        Attention::kName);
    grad_value = to.take();
  });
  return {grad_value, grad_locations, grad_weights};
}

void expect_countable_rows(const kernels::DeformColumnsSizes& sizes) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (sizes.height * sizes.width < kMost) return;
  throw ShapeError("deform_conv2d input: expected fewer than 2^31 pixels on CUDA, got " +
                   std::to_string(sizes.height * sizes.width) + ".");
}

at::Tensor deform_columns_cuda(const at::Tensor& image, const at::Tensor& offset,
                               const std::optional<at::Tensor>& mask, at::IntArrayRef kernel,
                               at::IntArrayRef stride, at::IntArrayRef padding,
                               at::IntArrayRef dilation, int64_t offset_groups) {
  const auto sizes = ops::deform_columns_sizes(image, offset, mask, kernel, stride, padding,
                                               dilation, offset_groups);
  expect_countable_rows(sizes);
  const c10::cuda::CUDAGuard device(image.device());
  const at::Tensor dense_image = image.contiguous();
  const at::Tensor dense_offset = offset.contiguous();
  const at::Tensor dense_mask = ops::is_set(mask) ? mask->contiguous() : at::Tensor();
  at::Tensor columns = at::empty({sizes.output_height * sizes.output_width,
                                  sizes.kernel_height * sizes.kernel_width, sizes.channels},
                                 image.options());
  ops::with_float_type(image, [&](auto zero) {
    using T = decltype(zero);
    expect_launched(
        deform_columns_forward<T>(sizes, dense_image.const_data_ptr<T>(),
                                  dense_offset.const_data_ptr<T>(), data_or_null<T>(dense_mask),
                                  columns.mutable_data_ptr<T>(), current_stream()),
        "deform_columns");
  });
  return columns;
}

Gradients deform_columns_backward_cuda(const at::Tensor& grad_columns, const at::Tensor& image,
                                       const at::Tensor& offset,
                                       const std::optional<at::Tensor>& mask,
                                       at::IntArrayRef kernel, at::IntArrayRef stride,
                                       at::IntArrayRef padding, at::IntArrayRef dilation,
                                       int64_t offset_groups, bool border_gradient) {
  const auto sizes = ops::deform_columns_sizes(image, offset, mask, kernel, stride, padding,
                                               dilation, offset_groups, grad_columns);
  expect_countable_rows(sizes);
  const auto border =
      border_gradient ? kernels::Border::kOneSidedGradient : kernels::Border::kNoGradient;
  const c10::cuda::CUDAGuard device(image.device());
  const at::Tensor dense_grad = grad_columns.contiguous();
  const at::Tensor dense_image = image.contiguous();
  const at::Tensor dense_offset = offset.contiguous();
  const at::Tensor dense_mask = ops::is_set(mask) ? mask->contiguous() : at::Tensor();
  at::Tensor grad_offset = at::empty_like(dense_offset);
  at::Tensor grad_mask = dense_mask.defined() ? at::empty_like(dense_mask) : at::Tensor();
  at::Tensor grad_image;
  ops::with_float_type(image, [&](auto zero) {
    using T = decltype(zero);
    const T* offsets = dense_offset.const_data_ptr<T>();
    const ValueGradientTensor to(
        "deform_conv2d", image, offset.numel() / 2, deform_columns_num_bins(sizes),
        [&](int32_t* bins) { return deform_columns_bins(sizes, offsets, bins, current_stream()); });
    expect_launched(
        deform_columns_backward<T>(
            sizes, border, dense_grad.const_data_ptr<T>(), dense_image.const_data_ptr<T>(), offsets,
            data_or_null<T>(dense_mask), to.template pointers<T>(),
            grad_offset.mutable_data_ptr<T>(),
            grad_mask.defined() ? grad_mask.mutable_data_ptr<T>() : nullptr, current_stream()),
        "deform_columns_backward");
    grad_image = to.take();
  });
  return {grad_image, grad_offset, grad_mask};
}

}  // namespace

TORCH_LIBRARY_IMPL(tessera, CUDA, m) {
  m.impl("st_deform_attn", TORCH_FN(attention_forward<StAttention>));
  m.impl("st_deform_attn_backward", TORCH_FN(attention_backward<StAttention>));
  m.impl("ms_deform_attn", TORCH_FN(attention_forward<MsAttention>));
  m.impl("ms_deform_attn_backward", TORCH_FN(attention_backward<MsAttention>));
  m.impl("deform_columns", TORCH_FN(deform_columns_cuda));
  m.impl("deform_columns_backward", TORCH_FN(deform_columns_backward_cuda));
}

}  // namespace tessera::cuda
