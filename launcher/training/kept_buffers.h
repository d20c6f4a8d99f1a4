#pragma once

#include <ATen/core/grad_mode.h>

#include <utility>
#include <vector>

#include "launcher/weights/load_weights.h"

namespace tessera {

/// Puts buffers (running statistics) back as they were, for forward passes that are no training.
class KeptBuffers {
 public:
  KeptBuffers() = default;
  KeptBuffers(const KeptBuffers&) = delete;
  KeptBuffers& operator=(const KeptBuffers&) = delete;
  ~KeptBuffers() {
    const at::NoGradGuard no_grad;
    for (auto& [tensor, before] : kept_) tensor.copy_(before);
  }
  void add(const std::vector<NamedTensor>& tensors) {
    for (const NamedTensor& tensor : tensors)
      if (!tensor.is_parameter) kept_.emplace_back(tensor.tensor, tensor.tensor.clone());
  }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_;
};

}  // namespace tessera
