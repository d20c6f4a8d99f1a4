#include "bench/op_cases.h"

#include <ATen/ATen.h>

namespace tessera::bench {
namespace {

constexpr double kSpreadPixels = 2.0;

at::TensorOptions float_on(at::Device device) {
  return at::TensorOptions(at::kFloat).device(device);
}

at::Tensor leaf(const at::Tensor& tensor) {
  at::Tensor result = tensor.contiguous();
  result.requires_grad_(true);
  return result;
}

// Centres of `size` cells, normalised.
at::Tensor centres(int64_t size, at::Device device) {
  return (at::arange(size, float_on(device)) + 0.5) / size;
}

// Normalised (x, y) of a plane's cells [H*W, 2].
at::Tensor plane_centres(std::array<int64_t, 2> hw, at::Device device) {
  const auto grid = at::meshgrid({centres(hw[0], device), centres(hw[1], device)}, "ij");
  return at::stack({grid[1], grid[0]}, -1).view({-1, 2});
}

}  // namespace

const char* name_of(Locations locations) {
  return locations == Locations::kUniform ? "uniform" : "around";
}

StCase make_st_case(std::array<int64_t, 3> shape_thw, int64_t heads, int64_t dim, int64_t points,
                    Locations locations, at::Device device) {
  const auto [frames, height, width] = shape_thw;
  const int64_t tokens = frames * height * width;
  const auto options = float_on(device);
  at::Tensor where = at::rand({1, tokens, heads, points, 3}, options);
  if (locations == Locations::kAround) {
    const auto grid = at::meshgrid(
        {centres(frames, device), centres(height, device), centres(width, device)}, "ij");
    const at::Tensor own = at::stack({grid[2], grid[1], grid[0]}, -1).view({1, tokens, 1, 1, 3});
    const at::Tensor size = at::tensor({width, height, frames}, options);
    where = own + kSpreadPixels * at::randn(where.sizes(), options) / size;
  }
  return {shape_thw,
          heads,
          dim,
          points,
          leaf(at::randn({1, tokens, heads, dim}, options)),
          leaf(where),
          leaf(at::softmax(at::randn({1, tokens, heads, points}, options), -1)),
          at::randn({1, tokens, heads * dim}, options)};
}

MsCase make_ms_case(int64_t frames, std::vector<std::array<int64_t, 2>> shapes_hw, int64_t heads,
                    int64_t dim, int64_t points, Locations locations, at::Device device) {
  const auto options = float_on(device);
  const auto levels = static_cast<int64_t>(shapes_hw.size());
  std::vector<at::Tensor> own, sizes;
  for (const auto& hw : shapes_hw) {
    own.push_back(plane_centres(hw, device));
    sizes.push_back(at::tensor({hw[1], hw[0]}, options));
  }
  const at::Tensor references = at::cat(own);
  const int64_t tokens = references.size(0);
  at::Tensor where = at::rand({frames, tokens, heads, levels, points, 2}, options);
  if (locations == Locations::kAround) {
    where = references.view({1, tokens, 1, 1, 1, 2}) +
            kSpreadPixels * at::randn(where.sizes(), options) /
                at::stack(sizes).view({1, 1, 1, levels, 1, 2});
  }
  const at::Tensor weights =
      at::softmax(at::randn({frames, tokens, heads, levels * points}, options), -1)
          .view({frames, tokens, heads, levels, points});
  return {std::move(shapes_hw), leaf(at::randn({frames, tokens, heads, dim}, options)), leaf(where),
          leaf(weights), at::randn({frames, tokens, heads * dim}, options)};
}

ConvCase make_conv_case(int64_t maps, int64_t height, int64_t width, int64_t in_channels,
                        int64_t out_channels, at::Device device) {
  const auto options = float_on(device);
  return {leaf(at::randn({maps, in_channels, height, width}, options)),
          leaf(kSpreadPixels * at::randn({maps, 18, height, width}, options)),
          leaf(at::randn({out_channels, in_channels, 3, 3}, options) / 10),
          leaf(at::randn({out_channels}, options)),
          at::randn({maps, out_channels, height, width}, options)};
}

}  // namespace tessera::bench
