#pragma once

#include <memory>

#include "core/interfaces/part.h"
#include "core/structures/features.h"
#include "core/structures/predictions.h"

namespace tessera {

/// A mask head after it has seen a batch's features; made once a batch, asked for every layer.
class TESSERA_API PreparedMasks {
 public:
  virtual ~PreparedMasks();
  /// Rows are lazy: nothing is computed for a row before the source is asked for it. What rows
  /// share (maps of another size) is made here or in prepare(), with gradients, and not when a row
  /// is first asked for: matchers ask first, and without gradients. `boxes` [B,T,Q,4] are those of
  /// the same layer, undefined unless wants_boxes().
  virtual std::shared_ptr<const MaskSource> masks(int64_t layer, const InstanceLayer& embeddings,
                                                  const at::Tensor& boxes) const = 0;
};

/// Instance embeddings + features -> masks.
class TESSERA_API MaskHead : public Part {
 public:
  static constexpr const char* kKind = "mask_head";
  ~MaskHead() override;

  /// What `pyramid` and `memory` hold is shared, not copied; `context` is copied by whoever needs
  /// it later.
  virtual std::shared_ptr<const PreparedMasks> prepare(const FeaturePyramid& pyramid,
                                                       const Memory& memory,
                                                       const ForwardContext& context) = 0;
  /// Whether masks() needs the layer's boxes (a box prior, relative coordinates).
  virtual bool wants_boxes() const { return false; }
  /// Whether the masks are made of Memory::pixel_features. A decoder may then give features of its
  /// own in their place (InstanceLayer::pixel_features).
  virtual bool reads_layer_features() const { return false; }
  /// Whether a frame's masks depend on no other frame, so that masks of a long video may be made
  /// some frames at a time.
  virtual bool frames_apart() const { return false; }
  virtual ClipNeeds needs() const { return {}; }
};

}  // namespace tessera
