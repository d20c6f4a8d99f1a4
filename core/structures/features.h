#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace tessera {

/// One level of a backbone's output.
struct FeatureLevel {
  at::Tensor features;      // [B,T,C,h,w]
  at::Tensor padding_mask;  // [B,T,h,w] bool, true = padded
  int64_t stride = 0;       // pixels per cell
};

/// Finest level first.
struct FeaturePyramid {
  std::vector<FeatureLevel> levels;
  at::Tensor padding_mask;  // [B,T,H,W] bool of the frames themselves; the model puts it in
};

/// What is known of a level when the model is built.
struct LevelSpec {
  int64_t channels = 0;
  int64_t stride = 0;
};

struct PyramidSpec {
  std::vector<LevelSpec> levels;  // finest first
};

/// Where a level's cells stand among the S cells of a frame.
struct MemoryLevel {
  int64_t offset = 0, height = 0, width = 0;
  int64_t stride = 0;
};

/// An encoder's output. `tokens.flatten(1, 2)` joins space and time (VisTR), `flatten(0, 1)` is per
/// frame, a slice of dimension 2 is a level (Mask2Former). Tokens without a place in the frame
/// (IFC's memory tokens) may follow the cells of all levels; S counts them, and dense attention
/// reads them.
struct Memory {
  at::Tensor tokens;        // [B,T,S,D]
  at::Tensor padding_mask;  // [B,T,S] bool, true = padded; undefined where nothing is padded
  std::vector<MemoryLevel> levels;  // [L] in the encoder's order
  at::Tensor valid_ratio;           // [B,T,L,2] (x, y) part of a level that is not padding
  at::Tensor position;              // [B,T,S,D] or undefined
  at::Tensor pixel_features;        // [B,T,C,h,w] fine features for mask heads, or undefined

  int64_t num_frames() const { return tokens.size(1); }
  /// The cells of one level as a map, [B,T,D,h,w].
  at::Tensor level_map(size_t level) const {
    const MemoryLevel& l = levels.at(level);
    return tokens.narrow(2, l.offset, l.height * l.width)
        .transpose(2, 3)
        .unflatten(3, {l.height, l.width});
  }
};

/// What is known of a memory when the model is built.
struct MemorySpec {
  int64_t dim = 0;
  std::vector<int64_t> strides;  // [L] in the encoder's order
  int64_t pixel_channels = 0;    // of Memory::pixel_features, 0 where there are none
  int64_t pixel_stride = 0;
};

}  // namespace tessera
