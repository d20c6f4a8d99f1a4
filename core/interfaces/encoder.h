#pragma once

#include "core/interfaces/part.h"
#include "core/structures/features.h"

namespace tessera {

/// Feature pyramid -> memory.
class TESSERA_API Encoder : public Part {
 public:
  static constexpr const char* kKind = "encoder";
  ~Encoder() override;

  virtual Memory forward(const FeaturePyramid& pyramid, const ForwardContext& context) = 0;
  virtual MemorySpec spec() const = 0;
  virtual ClipNeeds needs() const { return {}; }
  /// Whether a frame's tokens depend on no other frame, so that a long video may be encoded some
  /// frames at a time.
  virtual bool frames_apart() const { return false; }
  /// Whether FeatureLevel::prefix and FeaturePyramid::rotation are passed on: prefix tokens of the
  /// coarsest level as the last Memory::prefix tokens of a frame, the rotation as Memory::rotation.
  virtual bool passes_prefix() const { return false; }
};

}  // namespace tessera
