#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "core/interfaces/build_context.h"

namespace tessera::contract {

/// Builds tiny inputs for a part of any kind, runs it, and checks the shapes its kind promises.
class Harness {
 public:
  explicit Harness(int64_t num_frames) : frames_(num_frames) {}

  /// What a part of that kind is told when it is made.
  BuildContext context(const std::string& kind) const;

  /// Runs `part` in `type` (float or double) on inputs that depend on nothing but the sizes.
  /// out: every floating-point tensor it gave. Throws Error where a shape is not the promised one.
  std::vector<at::Tensor> run(Part& part, at::ScalarType type) const;

 private:
  int64_t frames_;
};

}  // namespace tessera::contract
