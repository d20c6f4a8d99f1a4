#pragma once
// Random inputs for the tests of the deformable attentions.

#include <ATen/ATen.h>

#include <array>
#include <ostream>
#include <vector>

namespace tessera::test {

struct AttentionInputs {
  at::Tensor value, locations, weights;
  std::vector<at::Tensor> list() const { return {value, locations, weights}; }
  AttentionInputs to(at::ScalarType type) const {
    return {value.to(type), locations.to(type), weights.to(type)};
  }
};

struct StSizes {
  int64_t batch;
  std::array<int64_t, 3> shape_thw;
  int64_t heads, dim, queries, points;
};

/// How GoogleTest names a case.
inline void PrintTo(const StSizes& s, std::ostream* out) {
  const auto& [frames, height, width] = s.shape_thw;
  *out << s.batch << " of " << frames << "x" << height << "x" << width << ", heads " << s.heads
       << " of " << s.dim << ", queries " << s.queries << ", points " << s.points;
}

/// Locations spread over -0.3 .. 1.3, so that some are outside and many straddle the border.
inline AttentionInputs random_st_inputs(const StSizes& s) {
  const int64_t rows = s.shape_thw[0] * s.shape_thw[1] * s.shape_thw[2];
  return {at::randn({s.batch, rows, s.heads, s.dim}, at::kDouble),
          at::rand({s.batch, s.queries, s.heads, s.points, 3}, at::kDouble) * 1.6 - 0.3,
          at::randn({s.batch, s.queries, s.heads, s.points}, at::kDouble)};
}

struct MsSizes {
  int64_t batch;
  std::vector<std::array<int64_t, 2>> shapes_hw;
  int64_t heads, dim, queries, points;
};

inline void PrintTo(const MsSizes& s, std::ostream* out) {
  *out << s.batch << " of";
  for (const auto& [height, width] : s.shapes_hw) *out << " " << height << "x" << width;
  *out << ", heads " << s.heads << " of " << s.dim << ", queries " << s.queries << ", points "
       << s.points;
}

inline AttentionInputs random_ms_inputs(const MsSizes& s) {
  int64_t rows = 0;
  for (const auto& [height, width] : s.shapes_hw) rows += height * width;
  const auto levels = static_cast<int64_t>(s.shapes_hw.size());
  return {at::randn({s.batch, rows, s.heads, s.dim}, at::kDouble),
          at::rand({s.batch, s.queries, s.heads, levels, s.points, 2}, at::kDouble) * 1.6 - 0.3,
          at::randn({s.batch, s.queries, s.heads, levels, s.points}, at::kDouble)};
}

/// The same numbers in a layout that is not contiguous.
inline at::Tensor scattered(const at::Tensor& tensor) {
  at::Tensor wide = at::full({tensor.numel(), 2}, 1e9, tensor.options());
  wide.select(1, 1).copy_(tensor.reshape(-1));
  return wide.select(1, 1).view(tensor.sizes());
}

}  // namespace tessera::test
