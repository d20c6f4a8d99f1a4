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
};

}  // namespace tessera
