#include "core/ops/reference.h"

#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include "core/ops/op_support.h"

namespace tessera::reference {
namespace {

// Multilinear samples of a grid with any number of axes A, slowest axis first.
//   value [N, S, M, D], S the product of `sizes`; pixels [N, Q, M, P, A] -> [N, Q, M, P, D]
at::Tensor sample_grid(const at::Tensor& value, const std::vector<int64_t>& sizes,
                       const at::Tensor& pixels, bool border_gradient) {
  const auto axes = static_cast<int64_t>(sizes.size());
  const int64_t batch = value.size(0), heads = value.size(2), dim = value.size(3);
  at::Tensor inside = at::ones_like(pixels.select(-1, 0), at::kBool);
  for (int64_t a = 0; a < axes; ++a) {
    const at::Tensor pixel = pixels.select(-1, a);
    inside = inside & (border_gradient ? pixel >= -1 : pixel > -1) & (pixel < sizes[a]);
  }
  // Outside, any constant will do: it cuts the gradient, and `inside` cuts the value.
  const at::Tensor safe = at::where(inside.unsqueeze(-1), pixels, at::zeros_like(pixels));
  const at::Tensor low = safe.detach().floor();
  const at::Tensor fraction = safe - low;
  const at::Tensor n = at::arange(batch, at::kLong).to(value.device()).view({batch, 1, 1, 1});
  const at::Tensor m = at::arange(heads, at::kLong).to(value.device()).view({1, 1, heads, 1});
  at::Tensor samples;
  for (int64_t corner = 0; corner < (int64_t{1} << axes); ++corner) {
    at::Tensor row = at::zeros_like(inside, at::kLong);
    at::Tensor valid = inside;
    at::Tensor weight = at::ones_like(safe.select(-1, 0));
    for (int64_t a = 0; a < axes; ++a) {
      const bool upper = (corner >> a) & 1;
      const at::Tensor cell = low.select(-1, a).to(at::kLong) + (upper ? 1 : 0);
      valid = valid & (cell >= 0) & (cell < sizes[a]);
      row = row * sizes[a] + cell;
      weight = weight * (upper ? fraction.select(-1, a) : 1 - fraction.select(-1, a));
    }
    row = at::where(valid, row, at::zeros_like(row));
    const at::Tensor found = value.index({n, row, m});  // [N, Q, M, P, D]
    const at::Tensor kept = at::where(valid.unsqueeze(-1), found, at::zeros_like(found));
    const at::Tensor part = weight.unsqueeze(-1) * kept;
    samples = samples.defined() ? samples + part : part;
  }
  return samples.view({batch, pixels.size(1), heads, pixels.size(3), dim});
}

// (x, y[, t]) normalised -> ([t,] y, x) in pixels.
at::Tensor to_pixels(const at::Tensor& locations, const std::vector<int64_t>& sizes) {
  return locations.flip(-1) * at::tensor(sizes, locations.options()) - 0.5;
}

}  // namespace

at::Tensor st_deform_attn(const at::Tensor& value, std::array<int64_t, 3> shape_thw,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  const std::vector<int64_t> sizes(shape_thw.begin(), shape_thw.end());
  const at::Tensor samples =
      sample_grid(value, sizes, to_pixels(sampling_locations, sizes), /*border_gradient=*/false);
  return (samples * attention_weights.unsqueeze(-1)).sum(3).flatten(2);
}

at::Tensor ms_deform_attn(const at::Tensor& value,
                          const std::vector<std::array<int64_t, 2>>& shapes_hw,
                          const at::Tensor& sampling_locations,
                          const at::Tensor& attention_weights) {
  at::Tensor output;
  int64_t first_row = 0;
  for (size_t l = 0; l < shapes_hw.size(); ++l) {
    const std::vector<int64_t> sizes(shapes_hw[l].begin(), shapes_hw[l].end());
    const int64_t rows = sizes[0] * sizes[1];
    const auto level = static_cast<int64_t>(l);
    const at::Tensor pixels = to_pixels(sampling_locations.select(3, level), sizes);
    const at::Tensor samples = sample_grid(value.narrow(1, first_row, rows), sizes, pixels, false);
    const at::Tensor part =
        (samples * attention_weights.select(3, level).unsqueeze(-1)).sum(3).flatten(2);
    output = output.defined() ? output + part : part;
    first_row += rows;
  }
  return output;
}

at::Tensor deform_conv2d(const at::Tensor& input, const at::Tensor& offset,
                         const std::optional<at::Tensor>& mask, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, const DeformConvOptions& options) {
  const int64_t batch = input.size(0), channels = input.size(1);
  const int64_t height = input.size(2), width = input.size(3);
  const int64_t kernel_h = weight.size(2), kernel_w = weight.size(3), taps = kernel_h * kernel_w;
  const int64_t out_h = offset.size(2), out_w = offset.size(3), positions = out_h * out_w;
  const int64_t groups = options.groups, offset_groups = options.offset_groups;
  const auto axis = [&](int64_t count, int64_t step, int64_t start) {
    return at::arange(count, offset.options()) * step + start;
  };
  // Undisturbed tap positions [taps, Ho, Wo], of y and of x.
  const at::Tensor base_y =
      (axis(kernel_h, options.dilation[0], 0).view({kernel_h, 1, 1, 1}) +
       axis(out_h, options.stride[0], -options.padding[0]).view({1, 1, out_h, 1}))
          .expand({kernel_h, kernel_w, out_h, out_w})
          .reshape({taps, out_h, out_w});
  const at::Tensor base_x =
      (axis(kernel_w, options.dilation[1], 0).view({1, kernel_w, 1, 1}) +
       axis(out_w, options.stride[1], -options.padding[1]).view({1, 1, 1, out_w}))
          .expand({kernel_h, kernel_w, out_h, out_w})
          .reshape({taps, out_h, out_w});
  const at::Tensor shifts = offset.view({batch, offset_groups, taps, 2, out_h, out_w});
  // [N, G, taps, Ho, Wo, 2] -> [N, positions, G, taps, 2]: queries are positions, heads groups.
  const at::Tensor pixels =
      at::stack({base_y + shifts.select(3, 0), base_x + shifts.select(3, 1)}, -1)
          .reshape({batch, offset_groups, taps, positions, 2})
          .permute({0, 3, 1, 2, 4});
  const at::Tensor value = input.view({batch, offset_groups, channels / offset_groups, -1})
                               .permute({0, 3, 1, 2});  // [N, H*W, G, C/G]
  at::Tensor samples =
      sample_grid(value, {height, width}, pixels, options.border_gradient);  // [N, P, G, taps, C/G]
  if (ops::is_set(mask)) {
    samples =
        samples * mask->view({batch, offset_groups, taps, positions, 1}).permute({0, 3, 1, 2, 4});
  }
  // -> [N, P, taps, groups, C/groups]
  const at::Tensor columns =
      samples.permute({0, 1, 3, 2, 4}).reshape({batch, positions, taps, groups, channels / groups});
  const at::Tensor kernels =
      weight.view({groups, weight.size(0) / groups, channels / groups, taps});
  at::Tensor output = at::einsum("nptgc,goct->ngop", {columns, kernels})
                          .reshape({batch, weight.size(0), out_h, out_w});
  if (ops::is_set(bias)) output = output + bias->view({1, -1, 1, 1});
  return output;
}

}  // namespace tessera::reference
