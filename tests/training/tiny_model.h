#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "launcher/model/vis_model.h"

namespace tessera::test_support {

/// A network of two layers with a buffer, big enough to see a difference of one bit.
struct TinyModel {
  at::Tensor first = parameter({4, 3}, 1), second = parameter({2, 4}, 2);
  at::Tensor norm = parameter({4}, 3), offset = at::zeros({2});

  static at::Tensor parameter(std::vector<int64_t> shape, uint64_t seed) {
    at::manual_seed(seed);
    return at::randn(shape).requires_grad_(true);
  }
  at::Tensor forward(const at::Tensor& x) const {
    return (x.matmul(first.t()) * norm).tanh().matmul(second.t()) + offset;
  }
  std::vector<NamedTensor> named() const {
    return {{"backbone.first.weight", first, true},
            {"head.second.weight", second, true},
            {"head.norm.weight", norm, true},
            {"head.offset", offset, false}};
  }
  bool equals(const TinyModel& other) const {
    const auto ours = named(), theirs = other.named();
    for (size_t i = 0; i < ours.size(); ++i)
      if (!ours[i].tensor.equal(theirs[i].tensor)) return false;
    return true;
  }
};

}  // namespace tessera::test_support
