#include "core/nn/patch_discriminator.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>

#include "core/error.h"

namespace tessera {
namespace {

constexpr double kLeak = 0.2, kNormEpsilon = 1e-6;

at::Tensor held(const at::Tensor& parameter, bool frozen) {
  return frozen ? parameter.detach() : parameter;
}

at::Tensor conv3x3(const at::Tensor& x, const at::Tensor& weight, bool frozen) {
  return at::conv2d(x, held(weight, frozen), {}, 1, 1);
}

at::Tensor new_weight(int64_t in, int64_t out) {
  at::Tensor weight = at::empty({out, in, 3, 3});
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  return weight;
}

}  // namespace

/// A weight under the name that a convolution module would give it.
class PatchDiscriminator::Conv final : public torch::nn::Module {
 public:
  Conv(int64_t in, int64_t out) : weight(register_parameter("weight", new_weight(in, out))) {}
  at::Tensor weight;
};

/// Scale and shift of a norm over channels.
class PatchDiscriminator::Scale final : public torch::nn::Module {
 public:
  explicit Scale(int64_t channels)
      : weight(register_parameter("weight", at::ones({channels}))),
        bias(register_parameter("bias", at::zeros({channels}))) {}
  at::Tensor weight, bias;
};

class PatchDiscriminator::Block final : public torch::nn::Module {
 public:
  Block(int64_t in, int64_t out, bool is_first, bool has_norm)
      : is_first_(is_first), conv_(register_module("conv", std::make_shared<Conv>(in, out))) {
    if (has_norm) norm_ = register_module("norm", std::make_shared<Scale>(out));
  }
  at::Tensor forward(const at::Tensor& x, bool frozen) {
    at::Tensor y =
        conv3x3(is_first_ ? x : at::leaky_relu(x, kLeak), conv_->weight, frozen);  // [N,C,h,w]
    if (!norm_) return y;
    y = y.permute({0, 2, 3, 1});
    y = at::layer_norm(y, {y.size(3)}, held(norm_->weight, frozen), held(norm_->bias, frozen),
                       kNormEpsilon);
    return y.permute({0, 3, 1, 2});
  }

 private:
  bool is_first_;
  std::shared_ptr<Conv> conv_;
  std::shared_ptr<Scale> norm_;
};

PatchDiscriminator::PatchDiscriminator(int64_t dim) {
  conv1_ = register_module("conv1", std::make_shared<Conv>(dim + 4, dim))->weight;
  conv2_ = register_module("conv2", std::make_shared<Conv>(dim, dim))->weight;
  torch::nn::ModuleList list;
  const std::vector<int64_t> channels{dim, 64, 128, 256, 512, 1};
  for (size_t i = 0; i + 1 < channels.size(); ++i) {
    blocks_.push_back(std::make_shared<Block>(channels[i], channels[i + 1], i == 0,
                                              i > 0 && i + 2 < channels.size()));
    list->push_back(blocks_.back());
  }
  register_module("discriminator_blocks", list);
}

at::Tensor PatchDiscriminator::forward(const at::Tensor& frame, const at::Tensor& mask,
                                       const std::vector<at::Tensor>& features, bool frozen,
                                       const ForwardContext& context) {
  if (features.size() != 3)
    throw ShapeError("discriminator: expected features of three strides, got " +
                     std::to_string(features.size()) + ".");
  auto enter = [&](const at::Tensor& x, const at::Tensor& weight, const at::Tensor& more) {
    return at::max_pool2d(conv3x3(x, weight, frozen), {3, 3}, {2, 2}, {1, 1}) + more;
  };
  at::Tensor x = enter(at::cat({frame, features[0], mask}, 1), conv1_, features[1]);
  x = enter(x, conv2_, features[2]);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = blocks_[i]->forward(x, frozen);
    context.look("discriminator.block" + std::to_string(i), [&] { return x; });
  }
  return x.sigmoid();
}

}  // namespace tessera
