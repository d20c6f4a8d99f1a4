#pragma once

#include "core/interfaces/part.h"
#include "core/structures/features.h"

namespace tessera {

/// Frames -> feature pyramid, each frame by itself.
class TESSERA_API Backbone : public Part {
 public:
  static constexpr const char* kKind = "backbone";
  ~Backbone() override;

  /// in: batch.frames [B,T,3,H,W], batch.padding_mask [B,T,H,W].
  /// out: levels [B,T,C,h,w], finest first, as spec() says, each with its padding mask. That of the
  /// frames is left out.
  virtual FeaturePyramid forward(const ClipBatch& batch, const ForwardContext& context) = 0;
  virtual PyramidSpec spec() const = 0;
  virtual ClipNeeds needs() const { return {}; }
};

/// The padding mask [B,T,H,W] at a level's size, nearest: source index = floor(i * in / out).
TESSERA_API at::Tensor resize_padding_mask(const at::Tensor& padding_mask, int64_t height,
                                           int64_t width);

}  // namespace tessera
