// ResNet-18, 34, 50, 101 (He et al. 2016). A bottleneck has its stride in the 3x3 convolution, as
// torchvision, or in the first 1x1, as the paper and the weights of its authors (MSRA).
// Keys are torchvision's: conv1, bn1, layer1.0.conv1, layer1.0.downsample.0, ...
// [B,T,3,H,W] -> levels at strides 4, 8, 16, 32 (the last 16 when dilated).

#include <ATen/ATen.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/normalization.h>

#include "core/interfaces/backbone.h"
#include "core/nn/recompute.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::backbone::resnet {

struct Options {
  int64_t depth = 50;
  std::string norm = "frozen_batch";
  int64_t width = 64;
  std::vector<int64_t> output_stages = {1, 2, 3, 4};
  bool dilate_last_stage = false;
  int64_t frozen_stages = 2;
  bool stride_in_1x1 = false;
  std::string input_order = "rgb";

  static void describe(Schema<Options>& schema) {
    schema.field("depth", &Options::depth, "Layers of the network.").one_of({18, 34, 50, 101});
    schema
        .field("norm", &Options::norm,
               "Normalisation; frozen_batch keeps statistics and scale fixed.")
        .one_of({"frozen_batch", "batch", "group"});
    schema
        .field("width", &Options::width,
               "Channels of the stem; stages have 1, 2, 4, 8 times as many.")
        .at_least(8);
    schema
        .field("output_stages", &Options::output_stages,
               "Stages given to the encoder, finest first.")
        .between(1, 4);
    schema.field("dilate_last_stage", &Options::dilate_last_stage,
                 "Stage 4 keeps stride 16 and dilates instead (DC5).");
    schema
        .field("frozen_stages", &Options::frozen_stages,
               "Parts that take no gradient: 0 none, 1 the stem, 2 stem and stage 1, ...")
        .between(0, 5);
    schema.field("stride_in_1x1", &Options::stride_in_1x1,
                 "Bottlenecks have their stride in the first 1x1 convolution instead of the 3x3 "
                 "one: for the MSRA weights that detectron2 distributes. No effect for depths 18 "
                 "and 34.");
    schema
        .field("input_order", &Options::input_order,
               "Order of the channels that the first convolution's weights are for; frames are "
               "RGB. bgr: for the MSRA weights.")
        .one_of({"rgb", "bgr"});
    schema.validate([](const Options& o) {
      for (size_t i = 0; i < o.output_stages.size(); ++i)
        if (i > 0 && o.output_stages[i] <= o.output_stages[i - 1])
          throw ConfigError("output_stages: expected rising stages, got " +
                            std::to_string(o.output_stages[i]) + " after " +
                            std::to_string(o.output_stages[i - 1]) + ".");
      if (o.output_stages.empty())
        throw ConfigError("output_stages: expected at least one stage, got none.");
      if (o.norm == "group" && o.width % 32 != 0)
        throw ConfigError("width: expected a multiple of 32 with norm = \"group\", got " +
                          std::to_string(o.width) + ".");
    });
  }
};

/// Batch norm whose statistics, scale and shift are constants (buffers), eps 1e-5.
class FrozenBatchNorm final : public torch::nn::Module {
 public:
  explicit FrozenBatchNorm(int64_t channels) {
    weight_ = register_buffer("weight", at::ones(channels));
    bias_ = register_buffer("bias", at::zeros(channels));
    running_mean_ = register_buffer("running_mean", at::zeros(channels));
    running_var_ = register_buffer("running_var", at::ones(channels));
  }
  at::Tensor scale() const { return weight_ * (running_var_ + 1e-5).rsqrt(); }
  at::Tensor shift(const at::Tensor& scale) const { return bias_ - running_mean_ * scale; }

 private:
  at::Tensor weight_, bias_, running_mean_, running_var_;
};

/// One of the three norms behind one call.
class Norm {
 public:
  Norm(torch::nn::Module& parent, const std::string& name, const std::string& kind,
       int64_t channels) {
    if (kind == "frozen_batch")
      frozen_ = parent.register_module(name, std::make_shared<FrozenBatchNorm>(channels));
    else if (kind == "batch")
      batch_ = parent.register_module(name, torch::nn::BatchNorm2d(channels));
    else
      group_ = parent.register_module(
          name, torch::nn::GroupNorm(torch::nn::GroupNormOptions(32, channels)));
  }
  /// Convolution, then norm. A frozen norm is a constant of each channel, which goes into the
  /// convolution: no pass of its own over the features, and none of its gradient.
  at::Tensor after(torch::nn::Conv2d& conv, const at::Tensor& x) {
    if (frozen_) {
      const at::Tensor scale = frozen_->scale();
      const auto& o = conv->options;
      return at::conv2d(x, conv->weight * scale.view({-1, 1, 1, 1}), frozen_->shift(scale),
                        *o.stride(), *std::get_if<torch::ExpandingArray<2>>(&o.padding()),
                        *o.dilation());
    }
    const at::Tensor y = conv->forward(x);
    return batch_ ? batch_->forward(y) : group_->forward(y);
  }

 private:
  std::shared_ptr<FrozenBatchNorm> frozen_;
  torch::nn::BatchNorm2d batch_{nullptr};
  torch::nn::GroupNorm group_{nullptr};
};

torch::nn::Conv2d conv(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
                       int64_t dilation = 1) {
  torch::nn::Conv2d layer(torch::nn::Conv2dOptions(in, out, kernel)
                              .stride(stride)
                              .padding(dilation * (kernel / 2))
                              .dilation(dilation)
                              .bias(false));
  return layer;
}

/// Basic block (two 3x3) or bottleneck (1x1, 3x3, 1x1) with a shortcut.
class Block final : public torch::nn::Module {
 public:
  Block(int64_t in, int64_t mid, bool bottleneck, int64_t stride, int64_t dilation,
        const Options& options) {
    const std::string& norm = options.norm;
    const int64_t out = bottleneck ? 4 * mid : mid;
    auto add = [&](const std::string& index, torch::nn::Conv2d layer, int64_t channels) {
      convs_.push_back(register_module("conv" + index, layer));
      norms_.emplace_back(*this, "bn" + index, norm, channels);
    };
    if (bottleneck) {
      add("1", conv(in, mid, 1, options.stride_in_1x1 ? stride : 1), mid);
      add("2", conv(mid, mid, 3, options.stride_in_1x1 ? 1 : stride, dilation), mid);
      add("3", conv(mid, out, 1), out);
    } else {
      add("1", conv(in, mid, 3, stride, dilation), mid);
      add("2", conv(mid, mid, 3, 1, dilation), mid);
    }
    if (stride != 1 || in != out) {
      shortcut_ = register_module("downsample", std::make_shared<Shortcut>(in, out, stride, norm));
    }
  }

  at::Tensor forward(const at::Tensor& x) {
    at::Tensor y = x;
    for (size_t i = 0; i < convs_.size(); ++i) {
      y = norms_[i].after(convs_[i], y);
      if (i + 1 < convs_.size()) y = y.relu_();
    }
    y = y.add_(shortcut_ ? shortcut_->forward(x) : x);
    return y.relu_();
  }

 private:
  struct Shortcut final : torch::nn::Module {
    Shortcut(int64_t in, int64_t out, int64_t stride, const std::string& norm_kind)
        : conv_(register_module("0", conv(in, out, 1, stride))),
          norm_(*this, "1", norm_kind, out) {}
    at::Tensor forward(const at::Tensor& x) { return norm_.after(conv_, x); }
    torch::nn::Conv2d conv_;
    Norm norm_;
  };
  std::vector<torch::nn::Conv2d> convs_;
  std::vector<Norm> norms_;
  std::shared_ptr<Shortcut> shortcut_;
};

class ResNet final : public Backbone {
 public:
  using Options = resnet::Options;

  ResNet(const Options& options, const BuildContext&)
      : options_(options),
        conv1_(register_module(
            "conv1",
            torch::nn::Conv2d(
                torch::nn::Conv2dOptions(3, options.width, 7).stride(2).padding(3).bias(false)))),
        bn1_(*this, "bn1", options.norm, options.width) {
    const bool bottleneck = options.depth >= 50;
    const std::vector<int64_t> counts = blocks_of(options.depth);
    int64_t channels = options.width;
    for (int64_t stage = 1; stage <= options.output_stages.back(); ++stage) {
      const int64_t mid = options.width << (stage - 1);
      const bool dilate = stage == 4 && options.dilate_last_stage;
      torch::nn::ModuleList blocks;
      for (int64_t i = 0; i < counts[stage - 1]; ++i) {
        const int64_t stride = i == 0 && stage > 1 && !dilate ? 2 : 1;
        // As torchvision: the first block of a dilated stage keeps the dilation before it.
        const int64_t dilation = dilate && i > 0 ? 2 : 1;
        blocks->push_back(
            std::make_shared<Block>(channels, mid, bottleneck, stride, dilation, options));
        channels = bottleneck ? 4 * mid : mid;
      }
      stages_.push_back(register_module("layer" + std::to_string(stage), blocks));
      stage_specs_.push_back({channels, dilate ? 16 : int64_t{2} << stage});
    }
    reset();
    freeze();
  }

  FeaturePyramid forward(const ClipBatch& batch, const ForwardContext& context) override {
    ShapeBinding sizes;
    expect_shape(batch.frames, "[B,T,3,H,W]", "frames", sizes);
    expect_shape(batch.padding_mask, "[B,T,H,W]", "padding_mask", sizes);
    const int64_t clips = batch.frames.size(0), frames = batch.frames.size(1);
    at::Tensor x = batch.frames.flatten(0, 1);
    if (options_.input_order == "bgr") x = x.flip(1);
    x = bn1_.after(conv1_, x).relu_();
    x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    FeaturePyramid pyramid;
    for (size_t stage = 0; stage < stages_.size(); ++stage) {
      x = run_stage(stages_[stage], x, context);
      if (!is_output(static_cast<int64_t>(stage) + 1)) continue;
      FeatureLevel level{x.unflatten(0, {clips, frames}),
                         resize_padding_mask(batch.padding_mask, x.size(2), x.size(3)),
                         stage_specs_[stage].stride};
      context.look("backbone." + std::to_string(pyramid.levels.size()),
                   [&] { return level.features; });
      pyramid.levels.push_back(std::move(level));
    }
    return pyramid;
  }

  bool recomputes_segments() const override { return true; }

  PyramidSpec spec() const override {
    PyramidSpec spec;
    for (const int64_t stage : options_.output_stages)
      spec.levels.push_back(stage_specs_[stage - 1]);
    return spec;
  }

 private:
  static at::Tensor run_stage(const torch::nn::ModuleList& blocks, const at::Tensor& input,
                              const ForwardContext& context) {
    const TensorFunction run = [blocks](const std::vector<at::Tensor>& given) {
      at::Tensor x = given.at(0);
      for (const auto& block : *blocks) x = block->as<Block>()->forward(x);
      return std::vector<at::Tensor>{x};
    };
    if (!context.recompute) return run({input}).at(0);
    return recompute(run, {input}, blocks->parameters(), blocks->buffers()).at(0);
  }
  static std::vector<int64_t> blocks_of(int64_t depth) {
    if (depth == 18) return {2, 2, 2, 2};
    if (depth == 101) return {3, 4, 23, 3};
    return {3, 4, 6, 3};
  }
  bool is_output(int64_t stage) const {
    return std::find(options_.output_stages.begin(), options_.output_stages.end(), stage) !=
           options_.output_stages.end();
  }
  void reset() {
    torch::NoGradGuard no_grad;
    for (auto& module : modules(false))
      if (auto* layer = module->as<torch::nn::Conv2dImpl>()) {
        const double fan_out =
            static_cast<double>(layer->weight.size(0) * layer->weight[0][0].numel());
        layer->weight.normal_(0.0, std::sqrt(2.0 / fan_out));  // He et al. 2015, fan-out
      }
  }
  void freeze() {
    for (auto& item : named_parameters()) {
      const std::string& name = item.key();
      const int64_t stage = name.starts_with("layer") ? name[5] - '0' + 1 : 1;
      if (stage <= options_.frozen_stages) item.value().set_requires_grad(false);
    }
  }

  Options options_;
  torch::nn::Conv2d conv1_;
  Norm bn1_;
  std::vector<torch::nn::ModuleList> stages_;
  std::vector<LevelSpec> stage_specs_;
};

}  // namespace tessera::backbone::resnet

TESSERA_PLUGIN(Backbone, tessera::backbone::resnet::ResNet, "resnet",
               "ResNet-18 to 101 feature extractor, frame by frame")
