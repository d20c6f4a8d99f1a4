#pragma once
// Inputs of the operators at the sizes that the published models use.

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

namespace tessera::bench {

/// Where queries look: anywhere, or around themselves by N(0, 2 pixels), as trained models do.
enum class Locations { kUniform, kAround };

const char* name_of(Locations locations);

struct StCase {
  std::array<int64_t, 3> shape_thw;
  int64_t heads, dim, points;
  at::Tensor value, locations, weights, grad_output;
};

/// Deformable VisTR's encoder: every token is a query. float32; `requires_grad` on all inputs.
StCase make_st_case(std::array<int64_t, 3> shape_thw, int64_t heads, int64_t dim, int64_t points,
                    Locations locations, at::Device device);

struct MsCase {
  std::vector<std::array<int64_t, 2>> shapes_hw;
  at::Tensor value, locations, weights, grad_output;
};

/// A pixel decoder's encoder: every token of every level is a query that looks into all levels.
MsCase make_ms_case(int64_t frames, std::vector<std::array<int64_t, 2>> shapes_hw, int64_t heads,
                    int64_t dim, int64_t points, Locations locations, at::Device device);

struct ConvCase {
  at::Tensor input, offset, weight, bias, grad_output;
};

/// A 3x3 deformable convolution of stride 1 on `maps` maps; offsets are N(0, 2 pixels).
ConvCase make_conv_case(int64_t maps, int64_t height, int64_t width, int64_t in_channels,
                        int64_t out_channels, at::Device device);

}  // namespace tessera::bench
