#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "core/interfaces/build_context.h"
#include "launcher/contract/decoder_parts.h"
#include "launcher/contract/named_check.h"

namespace tessera::contract {

/// Builds tiny inputs for a part of any kind, runs it, and checks the shapes its kind promises.
class Harness {
 public:
  explicit Harness(int64_t num_frames) : frames_(num_frames) {}

  /// Finds out what a decoder reads beside the memory, so that it is there.
  void prepare_for(const PluginDescriptor& plugin, const void* options);

  /// What a part of that kind is told when it is made.
  BuildContext context(const std::string& kind) const;

  /// Runs `part` in `type` (float or double) on inputs that depend on nothing but the sizes.
  /// out: every floating-point tensor it gave. Throws Error where a shape is not the promised one.
  std::vector<at::Tensor> run(Part& part, at::ScalarType type) const;

  /// What else parts of its kind promise; good as long as `part` is.
  std::vector<NamedCheck> further_checks(Part& part) const;

 private:
  int64_t frames_;
  DecoderSurroundings surroundings_;
};

}  // namespace tessera::contract
