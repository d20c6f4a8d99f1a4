#pragma once
// Tiny inputs for the checks of parts: they depend on nothing but the sizes.

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "core/interfaces/part.h"
#include "core/structures/clip.h"
#include "core/structures/features.h"
#include "core/structures/predictions.h"

namespace tessera::contract {

// Tiny, non-square, more than one clip; 128 is the smallest width that every shipped head divides.
inline constexpr int64_t kClips = 2, kHeight = 64, kWidth = 96, kDim = 128, kQueries = 3,
                         kCategories = 4;
/// What an auxiliary network sees of the encoder; other parts have one level.
inline constexpr std::array<int64_t, 3> kAuxiliaryStrides{8, 16, 32};
/// Prefix tokens of the coarsest level, and the width of a rotation, for decoders that read them.
inline constexpr int64_t kPrefix = 2, kRotationDim = 32;

/// The same numbers on every call, in the wanted type.
class Numbers {
 public:
  explicit Numbers(at::ScalarType type);
  at::Tensor normal(at::IntArrayRef shape);
  at::Tensor uniform(at::IntArrayRef shape);
  at::ScalarType type() const { return type_; }

 private:
  at::ScalarType type_;
  at::Generator generator_;
};

/// Masks that are just there.
class FixedMasks final : public MaskSource {
 public:
  explicit FixedMasks(at::Tensor logits) : logits_(std::move(logits)) {}
  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override;
  const at::Tensor& all() const { return logits_; }

 private:
  at::Tensor logits_;  // [B,Q,T,h,w]
};

/// With tokens the coarsest level has a prefix, and there is a rotation.
PyramidSpec pyramid_spec(bool with_tokens = false);
/// Of a stage before a decoder: all members of InstanceLayer are given.
QuerySpec stage_spec();

ClipBatch make_batch(int64_t frames, Numbers& numbers);
FeaturePyramid make_pyramid(int64_t frames, Numbers& numbers);
/// Of one level, and of those that an auxiliary network sees.
Memory make_memory(int64_t frames, Numbers& numbers);
Memory make_levels(int64_t frames, Numbers& numbers);
/// Puts prefix tokens and a rotation into both.
void add_tokens(FeaturePyramid& pyramid, Memory& memory, Numbers& numbers);
InstanceLayer make_embeddings(int64_t frames, Numbers& numbers);
/// `clips` clips, each of `frames` frames.
LayerPrediction make_prediction(int64_t frames, Numbers& numbers, int64_t queries = kQueries,
                                int64_t clips = kClips);
/// What stage_spec() states.
StageOutput make_stage(int64_t frames, Numbers& numbers);
Targets make_targets(int64_t frames, Numbers& numbers);
Matches make_matches(const Targets& targets);

/// Throws RuntimeError "expected <expected>." unless `holds`.
void check(bool holds, const std::string& expected);

}  // namespace tessera::contract
