// A residual network for small frames: a 3x3 stem at stride 2, then stages of basic blocks (He et
// al. 2016), each at half the resolution of the one before. Every stage and the stem are levels:
// strides 2, 4, 8, ... Keys: stem.conv, stem.norm, stage<i>.<j>.{conv1,norm1,conv2,norm2,
// shortcut}.

#include <ATen/ATen.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>

#include "core/interfaces/backbone.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::backbone::small_resnet {

struct Options {
  std::vector<int64_t> channels = {24, 48, 96};
  int64_t blocks = 2;
  bool frozen_statistics = false;

  static void describe(Schema<Options>& schema) {
    schema
        .field("channels", &Options::channels, "Channels of the stem and of every stage after it.")
        .at_least(1);
    schema.field("blocks", &Options::blocks, "Basic blocks of a stage.").at_least(1);
    schema.field("frozen_statistics", &Options::frozen_statistics,
                 "Batch norms keep their mean and variance (from weights.init); their scale and "
                 "shift are trained all the same.");
    schema.validate([](const Options& o) {
      if (o.channels.size() < 2)
        throw ConfigError("channels: expected the stem and at least one stage, got " +
                          std::to_string(o.channels.size()) + " numbers.");
    });
  }
};

/// Convolution and batch norm. With fixed statistics the two are one convolution: the norm is
/// folded into its weight, which saves a pass over the features each way.
class ConvNorm final {
 public:
  ConvNorm(int64_t in, int64_t out, int64_t kernel, int64_t stride, bool frozen)
      : frozen_(frozen),
        conv_(torch::nn::Conv2dOptions(in, out, kernel)
                  .stride(stride)
                  .padding(kernel / 2)
                  .bias(false)),
        norm_(torch::nn::BatchNormOptions(out)) {}

  void register_in(torch::nn::Module& parent, const std::string& conv, const std::string& norm) {
    parent.register_module(conv, conv_);
    parent.register_module(norm, norm_);
    torch::NoGradGuard no_grad;
    const double fan_out = static_cast<double>(conv_->weight.size(0) * conv_->weight[0][0].numel());
    conv_->weight.normal_(0.0, std::sqrt(2.0 / fan_out));  // He et al. 2015, fan-out
  }

  at::Tensor forward(const at::Tensor& x) {
    if (!frozen_ && norm_->is_training()) return norm_->forward(conv_->forward(x));
    const at::Tensor scale = norm_->weight * (norm_->running_var + norm_->options.eps()).rsqrt();
    return at::conv2d(x, conv_->weight * scale.view({-1, 1, 1, 1}),
                      norm_->bias - norm_->running_mean * scale, conv_->options.stride(),
                      std::get<torch::ExpandingArray<2>>(conv_->options.padding()));
  }

 private:
  bool frozen_;
  torch::nn::Conv2d conv_;
  torch::nn::BatchNorm2d norm_;
};

class Block final : public torch::nn::Module {
 public:
  Block(int64_t in, int64_t out, int64_t stride, bool frozen)
      : first_(in, out, 3, stride, frozen), second_(out, out, 3, 1, frozen) {
    first_.register_in(*this, "conv1", "norm1");
    second_.register_in(*this, "conv2", "norm2");
    if (in == out && stride == 1) return;
    shortcut_ = register_module(
        "shortcut", torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1).stride(stride)));
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = second_.forward(first_.forward(x).relu_());
    y = y + (shortcut_ ? shortcut_->forward(x) : x);
    return y.relu_();
  }

 private:
  ConvNorm first_, second_;
  torch::nn::Conv2d shortcut_{nullptr};
};

class SmallResNet final : public Backbone {
 public:
  using Options = small_resnet::Options;

  SmallResNet(const Options& options, const BuildContext&)
      : options_(options), stem_(3, options.channels.front(), 3, 2, options.frozen_statistics) {
    auto stem = std::make_shared<torch::nn::Module>();
    stem_.register_in(*stem, "conv", "norm");
    register_module("stem", stem);
    for (size_t i = 1; i < options.channels.size(); ++i) {
      torch::nn::ModuleList blocks;
      for (int64_t j = 0; j < options.blocks; ++j)
        blocks->push_back(std::make_shared<Block>(options.channels[j == 0 ? i - 1 : i],
                                                  options.channels[i], j == 0 ? 2 : 1,
                                                  options.frozen_statistics));
      stages_.push_back(register_module("stage" + std::to_string(i), blocks));
    }
  }

  FeaturePyramid forward(const ClipBatch& batch, const ForwardContext& context) override {
    ShapeBinding sizes;
    expect_shape(batch.frames, "[B,T,3,H,W]", "frames", sizes);
    expect_shape(batch.padding_mask, "[B,T,H,W]", "padding_mask", sizes);
    const int64_t clips = batch.frames.size(0), frames = batch.frames.size(1);
    at::Tensor x =
        stem_.forward(batch.frames.flatten(0, 1).contiguous(at::MemoryFormat::ChannelsLast))
            .relu_();
    FeaturePyramid pyramid;
    auto add = [&] {
      const size_t level = pyramid.levels.size();
      pyramid.levels.push_back({x.unflatten(0, {clips, frames}),
                                resize_padding_mask(batch.padding_mask, x.size(2), x.size(3)),
                                int64_t{2} << level});
      context.look("backbone." + std::to_string(level),
                   [&] { return pyramid.levels.back().features; });
    };
    add();
    for (const auto& stage : stages_) {
      for (const auto& block : *stage) x = block->as<Block>()->forward(x);
      add();
    }
    return pyramid;
  }

  PyramidSpec spec() const override {
    PyramidSpec spec;
    for (size_t i = 0; i < options_.channels.size(); ++i)
      spec.levels.push_back({options_.channels[i], int64_t{2} << i});
    return spec;
  }

 private:
  Options options_;
  ConvNorm stem_;
  std::vector<torch::nn::ModuleList> stages_;
};

}  // namespace tessera::backbone::small_resnet

TESSERA_PLUGIN(Backbone, tessera::backbone::small_resnet::SmallResNet, "small_resnet",
               "Small residual network with levels at strides 2, 4, 8, ... for small frames")
