// The opponents of channel_kernels.h as operators with gradients, under the name tessera_bench:
// loading this library registers them. They check nothing: the benchmark makes their inputs.

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <stdexcept>

#include "bench/cuda/channel_kernels.h"

namespace tessera::bench {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

cudaStream_t stream() {
  return c10::cuda::getCurrentCUDAStream().stream();
}
const float* data(const at::Tensor& tensor) {
  return tensor.const_data_ptr<float>();
}
float* target(const at::Tensor& tensor) {
  return tensor.mutable_data_ptr<float>();
}

// value [N, S, M, D], locations [N, Q, M, K, 3]; grid is (T, H, W).
struct ByFrames {
  static kernels::StDeformAttnSizes sizes(const at::Tensor& value, at::IntArrayRef grid,
                                          const at::Tensor& locations) {
    return {value.size(0), grid[0],       grid[1],           grid[2],
            value.size(2), value.size(3), locations.size(1), locations.size(3)};
  }
  template <typename... Arguments>
  static cudaError_t forward(const at::Tensor& value, at::IntArrayRef grid,
                             const at::Tensor& locations, const Arguments&... arguments) {
    return st_deform_attn_by_channels(sizes(value, grid, locations), data(value), data(locations),
                                      arguments..., stream());
  }
  template <typename... Arguments>
  static cudaError_t backward(const at::Tensor& grad_output, const at::Tensor& value,
                              at::IntArrayRef grid, const at::Tensor& locations,
                              const Arguments&... arguments) {
    return st_deform_attn_by_channels_backward(sizes(value, grid, locations), data(grad_output),
                                               data(value), data(locations), arguments...,
                                               stream());
  }
};

// locations [N, Q, M, L, P, 2]; grid is h0, w0, h1, w1, ...
struct ByLevels {
  static kernels::MsDeformAttnSizes sizes(const at::Tensor& value, const at::Tensor& locations) {
    return {value.size(0),     value.size(1),     value.size(2),    value.size(3),
            locations.size(1), locations.size(3), locations.size(4)};
  }
  static LevelList levels(at::IntArrayRef grid) {
    if (grid.size() > 2 * kMostLevels) throw std::invalid_argument("levels of an opponent");
    LevelList list{};
    int64_t row = 0;
    for (size_t l = 0; 2 * l < grid.size(); ++l) {
      list.level[l] = {grid[2 * l], grid[2 * l + 1], row};
      row += grid[2 * l] * grid[2 * l + 1];
    }
    return list;
  }
  template <typename... Arguments>
  static cudaError_t forward(const at::Tensor& value, at::IntArrayRef grid,
                             const at::Tensor& locations, const Arguments&... arguments) {
    return ms_deform_attn_by_channels(sizes(value, locations), levels(grid), data(value),
                                      data(locations), arguments..., stream());
  }
  template <typename... Arguments>
  static cudaError_t backward(const at::Tensor& grad_output, const at::Tensor& value,
                              at::IntArrayRef grid, const at::Tensor& locations,
                              const Arguments&... arguments) {
    return ms_deform_attn_by_channels_backward(sizes(value, locations), levels(grid),
                                               data(grad_output), data(value), data(locations),
                                               arguments..., stream());
  }
};

template <typename Kind>
class AttentionByChannels : public torch::autograd::Function<AttentionByChannels<Kind>> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& value, at::IntArrayRef grid,
                            const at::Tensor& locations, const at::Tensor& weights) {
    context->save_for_backward({value, locations, weights});
    context->saved_data["grid"] = grid.vec();
    at::Tensor output = at::empty({value.size(0), locations.size(1), value.size(2) * value.size(3)},
                                  value.options());
    C10_CUDA_CHECK(Kind::forward(value, grid, locations, data(weights), target(output)));
    return output;
  }
  static variable_list backward(AutogradContext* context, variable_list grad_outputs) {
    const auto saved = context->get_saved_variables();
    const auto grid = context->saved_data["grid"].toIntVector();
    at::Tensor grad_value = at::zeros_like(saved[0]);
    at::Tensor grad_locations = at::empty_like(saved[1]);
    at::Tensor grad_weights = at::empty_like(saved[2]);
    C10_CUDA_CHECK(Kind::backward(grad_outputs[0].contiguous(), saved[0], grid, saved[1],
                                  data(saved[2]), target(grad_value), target(grad_locations),
                                  target(grad_weights)));
    return {grad_value, at::Tensor(), grad_locations, grad_weights};
  }
};

template <typename Kind>
at::Tensor attention(const at::Tensor& value, at::IntArrayRef grid, const at::Tensor& locations,
                     const at::Tensor& weights) {
  return AttentionByChannels<Kind>::apply(value, grid, locations, weights);
}

// Stride 1, one group, padding k/2: input [N,C,H,W], image by image, as torchvision's operator does
// it. `image` [C,H,W] is laid out channels last here, since our opponent's columns are.
kernels::DeformColumnsSizes conv_sizes(const at::Tensor& input, const at::Tensor& weight) {
  return {input.size(2),
          input.size(3),
          input.size(1),
          1,
          weight.size(2),
          weight.size(3),
          input.size(2),
          input.size(3),
          1,
          1,
          weight.size(2) / 2,
          weight.size(3) / 2,
          1,
          1};
}

class ConvByElements : public torch::autograd::Function<ConvByElements> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input,
                            const at::Tensor& offset, const at::Tensor& weight,
                            const at::Tensor& bias) {
    context->save_for_backward({input, offset, weight});
    const auto s = conv_sizes(input, weight);
    const at::Tensor images = input.permute({0, 2, 3, 1}).contiguous();
    const at::Tensor matrix = weight.permute({0, 2, 3, 1}).reshape({weight.size(0), -1});
    at::Tensor columns = at::empty({s.height * s.width, matrix.size(1)}, input.options());
    at::Tensor output =
        at::empty({input.size(0), weight.size(0), s.height * s.width}, input.options());
    for (int64_t n = 0; n < input.size(0); ++n) {
      C10_CUDA_CHECK(columns_by_elements(s, data(images.select(0, n)), data(offset.select(0, n)),
                                         target(columns), stream()));
      at::Tensor image_output = output.select(0, n);
      at::addmm_out(image_output, bias.unsqueeze(1), matrix, columns.t());
    }
    return output.view({input.size(0), weight.size(0), s.height, s.width});
  }
  static variable_list backward(AutogradContext* context, variable_list grad_outputs) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &offset = saved[1], &weight = saved[2];
    const auto s = conv_sizes(input, weight);
    const at::Tensor images = input.permute({0, 2, 3, 1}).contiguous();
    const at::Tensor matrix = weight.permute({0, 2, 3, 1}).reshape({weight.size(0), -1});
    const at::Tensor grads = grad_outputs[0].contiguous().flatten(2);
    at::Tensor columns = at::empty({s.height * s.width, matrix.size(1)}, input.options());
    at::Tensor grad_images = at::zeros_like(images), grad_offset = at::empty_like(offset);
    at::Tensor grad_matrix = at::zeros_like(matrix);
    for (int64_t n = 0; n < input.size(0); ++n) {
      const at::Tensor image = images.select(0, n), image_offset = offset.select(0, n);
      C10_CUDA_CHECK(
          columns_by_elements(s, data(image), data(image_offset), target(columns), stream()));
      grad_matrix.addmm_(grads.select(0, n), columns);
      const at::Tensor grad_columns = at::mm(grads.select(0, n).t(), matrix);
      C10_CUDA_CHECK(columns_by_elements_backward(
          s, data(grad_columns), data(image), data(image_offset), target(grad_images.select(0, n)),
          target(grad_offset.select(0, n)), stream()));
    }
    const at::Tensor grad_weight =
        grad_matrix.view({weight.size(0), weight.size(2), weight.size(3), weight.size(1)})
            .permute({0, 3, 1, 2});
    return {grad_images.permute({0, 3, 1, 2}), grad_offset, grad_weight,
            grads.sum(at::IntArrayRef{0, 2})};
  }
};

at::Tensor convolution(const at::Tensor& input, const at::Tensor& offset, const at::Tensor& weight,
                       const at::Tensor& bias) {
  return ConvByElements::apply(input, offset, weight, bias);
}

}  // namespace

TORCH_LIBRARY(tessera_bench, m) {
  m.def("st_deform_attn(Tensor value, int[] grid, Tensor locations, Tensor weights) -> Tensor",
        TORCH_FN(attention<ByFrames>));
  m.def("ms_deform_attn(Tensor value, int[] grid, Tensor locations, Tensor weights) -> Tensor",
        TORCH_FN(attention<ByLevels>));
  m.def("deform_conv2d(Tensor input, Tensor offset, Tensor weight, Tensor bias) -> Tensor",
        TORCH_FN(convolution));
}

}  // namespace tessera::bench
