#pragma once

#include <torch/nn/module.h>

#include <vector>

#include "core/export.h"
#include "core/interfaces/part.h"

namespace tessera {

/// A network that tells real masks from predicted ones, patch by patch (Isola et al. 2017), shown
/// the frame and the features of three strides that enter one after the other, each half the size
/// of the one before: cat(frame, features, mask) -> 3x3 convolution -> max pool + features -> 3x3
/// convolution -> max pool + features -> five 3x3 convolutions with leaky ReLU between them and a
/// norm over channels after all but the first and last. Keys: conv1, conv2,
/// discriminator_blocks.<i>.conv, .norm. No convolution has a bias.
class TESSERA_API PatchDiscriminator : public torch::nn::Module {
 public:
  /// `dim` is the features' width.
  explicit PatchDiscriminator(int64_t dim);

  /// in: frame [N,3,h,w]; mask [N,1,h,w] in 0..1; three features [N,D,..] of h x w, then
  /// ceil(h / 2), then ceil(h / 4). `frozen`: parameters take no gradient.
  /// out: [N,1,ceil(h / 4),ceil(w / 4)] probability that the mask is real.
  at::Tensor forward(const at::Tensor& frame, const at::Tensor& mask,
                     const std::vector<at::Tensor>& features, bool frozen,
                     const ForwardContext& context);

 private:
  class Conv;
  class Scale;
  class Block;

  at::Tensor conv1_, conv2_;  // [D,D+4,3,3], [D,D,3,3]
  std::vector<std::shared_ptr<Block>> blocks_;
};

}  // namespace tessera
