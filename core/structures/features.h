#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// One level of a backbone's output.
struct FeatureLevel {
  at::Tensor features;      // [B,T,C,h,w]
  at::Tensor padding_mask;  // [B,T,h,w] bool, true = padded
  int64_t stride = 0;       // pixels per cell
  at::Tensor prefix{};  // [B,T,N,C] tokens without a place: class token, registers; or undefined
};

/// Finest level first.
struct FeaturePyramid {
  std::vector<FeatureLevel> levels;
  at::Tensor padding_mask;  // [B,T,H,W] bool of the frames themselves; the model puts it in
  /// [2,h*w,E] float32, cosines and sines of the rotary position encoding of the coarsest level's
  /// cells, drawn once a forward pass; undefined where the backbone has none. All frames share it.
  at::Tensor rotation{};
};

/// What is known of a level when the model is built.
struct LevelSpec {
  int64_t channels = 0;
  int64_t stride = 0;
  int64_t prefix = 0;  // N of FeatureLevel::prefix; 0: there is none
};

/// What a decoder that runs a transformer backbone's last blocks itself has to know of them.
struct TokenSpec {
  int64_t heads = 0;       // attention heads of a block; 0: the backbone is no such transformer
  int64_t next_block = 0;  // index of the first block that the backbone does not run
  std::string block{};     // kind of block, as the backbone's documentation names it
};

struct PyramidSpec {
  std::vector<LevelSpec> levels;  // finest first
  TokenSpec tokens{};
  bool has_rotation = false;  // whether FeaturePyramid::rotation is given
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
  at::Tensor rotation{};            // FeaturePyramid::rotation, from encoders that pass it on
  int64_t prefix = 0;  // of the S tokens, the last so many are the coarsest level's prefix tokens

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

/// What a tensor's first dimensions stand for.
enum class Leading {
  frames,  // [B,T,...]
  clip,    // [B,...]
  none,    // shared by all clips and frames
};

// for_each_tensor: the one list of a structure's tensors, for whoever moves, casts, cuts, joins or
// recomputes all of them. A tensor that a new member brings is added here and nowhere else.
// `visit(at::Tensor&, Leading)` is called for undefined tensors, too.

template <class Visit>
void for_each_tensor(FeatureLevel& level, Visit&& visit) {
  visit(level.features, Leading::frames);
  visit(level.padding_mask, Leading::frames);
  visit(level.prefix, Leading::frames);
}

template <class Visit>
void for_each_tensor(FeaturePyramid& pyramid, Visit&& visit) {
  for (FeatureLevel& level : pyramid.levels) for_each_tensor(level, visit);
  visit(pyramid.padding_mask, Leading::frames);
  visit(pyramid.rotation, Leading::none);
}

template <class Visit>
void for_each_tensor(Memory& memory, Visit&& visit) {
  visit(memory.tokens, Leading::frames);
  visit(memory.padding_mask, Leading::frames);
  visit(memory.valid_ratio, Leading::frames);
  visit(memory.position, Leading::frames);
  visit(memory.pixel_features, Leading::frames);
  visit(memory.rotation, Leading::none);
}

}  // namespace tessera
