#include "core/ops/op_support.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <limits>
#include <string>

#include "core/error.h"
#include "core/structures/shape.h"

namespace tessera::ops {
namespace {

void expect_values(bool good, std::string_view what, std::string_view expected,
                   at::IntArrayRef found) {
  if (good) return;
  throw ShapeError(std::string(what) + ": expected " + std::string(expected) + ", got " +
                   shape_text(found) + ".");
}

bool all_at_least(at::IntArrayRef values, int64_t least) {
  return std::all_of(values.begin(), values.end(), [=](int64_t v) { return v >= least; });
}

void expect_pair(at::IntArrayRef values, int64_t least, const char* what) {
  expect_values(values.size() == 2 && all_at_least(values, least), what,
                "two numbers >= " + std::to_string(least), values);
}

bool is_half(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16;
}

// What the two attentions' inputs have in common. Values, and with them outputs and their
// gradients, may be of half precision; then locations and weights are float32.
void expect_attention(const std::string& op, const at::Tensor& value, const at::Tensor& locations,
                      const at::Tensor& weights, const at::Tensor& grad_output,
                      ShapeBinding& sizes) {
  if (grad_output.defined()) {
    sizes['C'] = sizes['M'] * sizes['D'];
    expect_shape(grad_output, "[N,Q,C]", op + " grad_output", sizes);
    if (grad_output.scalar_type() != value.scalar_type()) {
      throw RuntimeError(op + " grad_output: expected " + c10::toString(value.scalar_type()) +
                         " as the value is, got " + c10::toString(grad_output.scalar_type()) + ".");
    }
  }
  constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max() - 1;  // rows count in int32
  if (sizes['S'] > kMostRows) {
    throw ShapeError(op + " value: expected at most " + std::to_string(kMostRows) + " rows, got " +
                     std::to_string(sizes['S']) + ".");
  }
  const at::Tensor exact_value = is_half(value) ? at::empty({0}, locations.options()) : value;
  if (is_half(value) && locations.scalar_type() != at::kFloat) {
    throw RuntimeError(op + " sampling_locations: expected float32 beside a value of " +
                       c10::toString(value.scalar_type()) + ", got " +
                       c10::toString(locations.scalar_type()) + ".");
  }
  expect_same_kind(op, {exact_value, locations, weights});
  if (value.device() != locations.device()) {
    throw RuntimeError(op + ": expected all tensors on " + value.device().str() + ", got one on " +
                       locations.device().str() + ".");
  }
}

}  // namespace

void expect_same_kind(std::string_view op, const std::vector<at::Tensor>& tensors) {
  const at::Tensor& first = tensors.front();
  const auto type = first.scalar_type();
  if (type != at::kFloat && type != at::kDouble) {
    throw RuntimeError(std::string(op) + ": expected float32 or float64 tensors, got " +
                       c10::toString(type) + ". Half precision works under autocast only.");
  }
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    if (tensor.scalar_type() != type || tensor.device() != first.device()) {
      throw RuntimeError(std::string(op) + ": expected all tensors to be " + c10::toString(type) +
                         " on " + first.device().str() + ", got one of " +
                         c10::toString(tensor.scalar_type()) + " on " + tensor.device().str() +
                         ".");
    }
  }
}

bool parallel_for_is_parallel() {
#ifdef INTRA_OP_PARALLEL
  return true;
#else
  return false;
#endif
}

DeformAttnShape<kernels::StDeformAttnSizes> st_deform_attn_shape(
    const at::Tensor& value, at::IntArrayRef shape_thw, const at::Tensor& sampling_locations,
    const at::Tensor& attention_weights, const at::Tensor& grad_output) {
  expect_values(shape_thw.size() == 3 && all_at_least(shape_thw, 1), "st_deform_attn shape_thw",
                "three numbers >= 1", shape_thw);
  ShapeBinding sizes{{'S', shape_thw[0] * shape_thw[1] * shape_thw[2]}};
  expect_shape(value, "[N,S,M,D]", "st_deform_attn value", sizes);
  expect_shape(sampling_locations, "[N,Q,M,K,3]", "st_deform_attn sampling_locations", sizes);
  expect_shape(attention_weights, "[N,Q,M,K]", "st_deform_attn attention_weights", sizes);
  expect_attention("st_deform_attn", value, sampling_locations, attention_weights, grad_output,
                   sizes);
  return {{sizes['N'], shape_thw[0], shape_thw[1], shape_thw[2], sizes['M'], sizes['D'], sizes['Q'],
           sizes['K']},
          {}};
}

DeformAttnShape<kernels::MsDeformAttnSizes> ms_deform_attn_shape(
    const at::Tensor& value, at::IntArrayRef shapes_hw, const at::Tensor& sampling_locations,
    const at::Tensor& attention_weights, const at::Tensor& grad_output) {
  expect_values(!shapes_hw.empty() && shapes_hw.size() % 2 == 0 && all_at_least(shapes_hw, 1),
                "ms_deform_attn shapes_hw", "(height, width) of one level or more, all >= 1",
                shapes_hw);
  DeformAttnShape<kernels::MsDeformAttnSizes> shape;
  int64_t rows = 0;
  for (size_t i = 0; i < shapes_hw.size(); i += 2) {
    shape.levels.push_back({shapes_hw[i], shapes_hw[i + 1], rows});
    rows += shapes_hw[i] * shapes_hw[i + 1];
  }
  ShapeBinding sizes{{'S', rows}, {'L', static_cast<int64_t>(shape.levels.size())}};
  expect_shape(value, "[N,S,M,D]", "ms_deform_attn value", sizes);
  expect_shape(sampling_locations, "[N,Q,M,L,P,2]", "ms_deform_attn sampling_locations", sizes);
  expect_shape(attention_weights, "[N,Q,M,L,P]", "ms_deform_attn attention_weights", sizes);
  expect_attention("ms_deform_attn", value, sampling_locations, attention_weights, grad_output,
                   sizes);
  shape.sizes = {sizes['N'], rows, sizes['M'], sizes['D'], sizes['Q'], sizes['L'], sizes['P']};
  return shape;
}

kernels::DeformColumnsSizes deform_columns_sizes(const at::Tensor& image, const at::Tensor& offset,
                                                 const std::optional<at::Tensor>& mask,
                                                 at::IntArrayRef kernel, at::IntArrayRef stride,
                                                 at::IntArrayRef padding, at::IntArrayRef dilation,
                                                 int64_t offset_groups,
                                                 const at::Tensor& grad_columns) {
  expect_pair(kernel, 1, "deform_conv2d kernel");
  expect_pair(stride, 1, "deform_conv2d stride");
  expect_pair(padding, 0, "deform_conv2d padding");
  expect_pair(dilation, 1, "deform_conv2d dilation");
  ShapeBinding sizes;
  expect_shape(image, "[H,W,C]", "deform_conv2d image", sizes);
  if (offset_groups < 1 || sizes['C'] % offset_groups != 0) {
    throw ShapeError("deform_conv2d offset_groups: expected a divisor of the " +
                     std::to_string(sizes['C']) + " input channels, got " +
                     std::to_string(offset_groups) + ".");
  }
  const int64_t out_height =
      conv_output_size(sizes['H'], kernel[0], stride[0], padding[0], dilation[0]);
  const int64_t out_width =
      conv_output_size(sizes['W'], kernel[1], stride[1], padding[1], dilation[1]);
  expect_values(out_height >= 1 && out_width >= 1, "deform_conv2d input",
                "a height and width that the kernel fits into", {sizes['H'], sizes['W']});
  const int64_t taps = kernel[0] * kernel[1];
  const auto expect_per_tap = [&](const at::Tensor& tensor, int64_t numbers, const char* what) {
    const std::vector<int64_t> expected{numbers * offset_groups * taps, out_height, out_width};
    expect_values(tensor.sizes() == at::IntArrayRef(expected), what, shape_text(expected),
                  tensor.sizes());
  };
  expect_per_tap(offset, 2, "deform_conv2d offset");
  if (is_set(mask)) expect_per_tap(*mask, 1, "deform_conv2d mask");
  if (grad_columns.defined()) {
    ShapeBinding columns{{'P', out_height * out_width}, {'K', taps}, {'C', sizes['C']}};
    expect_shape(grad_columns, "[P,K,C]", "deform_conv2d grad_columns", columns);
  }
  expect_same_kind("deform_conv2d", {image, offset, mask.value_or(at::Tensor()), grad_columns});
  return {sizes['H'], sizes['W'], sizes['C'], offset_groups, kernel[0],  kernel[1],   out_height,
          out_width,  stride[0],  stride[1],  padding[0],    padding[1], dilation[0], dilation[1]};
}

}  // namespace tessera::ops
