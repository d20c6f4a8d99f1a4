// Mask head of conditional convolutions (CondInst, Tian et al. 2020; SeqFormer, Wu et al. 2022): a
// few feature channels shared by all, and for each instance the weights of a small network of 1x1
// convolutions over them and the distance to the instance's reference point.
// Keys: lay3, lay4, dcn (the memory's levels, coarsest first), lay1, lay2 (to the few channels),
// controller.layers.<i>. An instance's parameters: weights layer by layer [out x in], then biases.

#include <ATen/ATen.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/conv.h>

#include <algorithm>
#include <numeric>

#include "core/interfaces/mask_head.h"
#include "core/nn/mlp.h"
#include "core/nn/precision.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::mask_head::dynamic_convolution {

struct Options {
  int64_t num_levels = 3;
  std::optional<int64_t> feature_channels;
  int64_t channels = 8;
  int64_t num_layers = 3;
  std::string coordinates = "reference";
  int64_t upsample = 2;

  static void describe(Schema<Options>& schema) {
    schema
        .field("num_levels", &Options::num_levels,
               "The memory's finest levels that the features are made of, at most.")
        .between(1, 3);
    schema
        .field("feature_channels", &Options::feature_channels,
               "Feature channels that the instances share; by default a 32nd of the memory's "
               "width.")
        .at_least(1);
    schema.field("channels", &Options::channels, "Channels inside an instance's network.")
        .at_least(1);
    schema.field("num_layers", &Options::num_layers, "Convolutions of an instance's network.")
        .at_least(2);
    schema
        .field("coordinates", &Options::coordinates,
               "Two further inputs, the distances in pixels to the instance: from the reference "
               "point that the decoder's layer looked around, from the centre of the layer's box, "
               "or none.")
        .one_of({"reference", "box", "none"});
    schema
        .field("upsample", &Options::upsample,
               "Masks are so many times as fine as the memory's finest level.")
        .at_least(1);
  }
};

torch::nn::Conv2d conv3x3(int64_t in, int64_t out) {
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(in, out, 3).padding(1));
  torch::nn::init::kaiming_uniform_(conv->weight, 1.0);
  torch::nn::init::zeros_(conv->bias);
  return conv;
}

/// `factor` times as fine, bilinear with the corners' pixels aligned: cell 0 of the input lies
/// between the first `factor` cells of the output. in: [N,C,h,w].
at::Tensor upsample_aligned(const at::Tensor& x, int64_t factor) {
  if (factor == 1) return x;
  const int64_t height = factor * x.size(2), width = factor * x.size(3);
  at::Tensor y = at::replication_pad2d(x, {0, 1, 0, 1});
  y = at::upsample_bilinear2d(y, {height + 1, width + 1}, /*align_corners=*/true);
  y = at::replication_pad2d(y, {factor / 2, 0, factor / 2, 0});
  return y.narrow(2, 0, height).narrow(3, 0, width);
}

/// What an instance's network is made of.
struct KernelShape {
  std::vector<std::pair<int64_t, int64_t>> layers;  // (out, in)

  int64_t num_weights() const {
    int64_t sum = 0;
    for (const auto& [out, in] : layers) sum += out * in;
    return sum;
  }
  int64_t num_parameters() const {
    int64_t sum = num_weights();
    for (const auto& layer : layers) sum += layer.first;
    return sum;
  }
};

/// What the sources of a batch share.
struct Features {
  at::Tensor maps;   // [B,T,F,h,w]
  at::Tensor cells;  // [2,h*w] (x, y) cell middles in pixels, or undefined
  at::Tensor size;   // [B,T,1,2] (width, height) of the unpadded frames in pixels
  int64_t upsample = 1;
};

class Source final : public MaskSource {
 public:
  Source(const KernelShape& shape, std::shared_ptr<const Features> features, at::Tensor kernels,
         at::Tensor places)
      : shape_(shape),
        features_(std::move(features)),
        kernels_(std::move(kernels)),
        places_(std::move(places)) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    const NoAutocast exact;  // an instance's weights are multiplied with distances in pixels
    const at::Tensor maps = features_->maps.select(0, clip);  // [T,F,h,w]
    const int64_t frames = maps.size(0), height = maps.size(2), width = maps.size(3),
                  count = rows.size(0);
    if (count == 0)
      return at::empty({0, frames, height * features_->upsample, width * features_->upsample},
                       maps.options());
    const at::Tensor kernels = kernels_.select(0, clip).index_select(1, rows);  // [T|1,R,P]
    at::Tensor x;  // [T,R,channels,h*w]
    int64_t weight_at = 0, bias_at = shape_.num_weights();
    for (size_t i = 0; i < shape_.layers.size(); ++i) {
      const auto [out, in] = shape_.layers[i];
      const at::Tensor weight = kernels.narrow(2, weight_at, out * in).unflatten(2, {out, in});
      const at::Tensor bias = kernels.narrow(2, bias_at, out).unsqueeze(-1);
      weight_at += out * in;
      bias_at += out;
      x = (i == 0 ? first_layer(clip, rows, weight, maps.flatten(2)) : at::matmul(weight, x)) +
          bias;
      if (i + 1 < shape_.layers.size()) x = x.relu();
    }
    return upsample_aligned(x.view({frames, count, height, width}), features_->upsample)
        .transpose(0, 1);
  }

 private:
  /// The first convolution, linear in features and distances: what all rows share is not copied for
  /// each. in: weight [T|1,R,out,in], maps [T,F,h*w]. out: [T,R,out,h*w].
  at::Tensor first_layer(int64_t clip, const at::Tensor& rows, const at::Tensor& weight,
                         const at::Tensor& maps) const {
    const int64_t count = weight.size(1), out = weight.size(2), frames = maps.size(0);
    const int64_t distances = features_->cells.defined() ? 2 : 0;
    const at::Tensor of_maps =
        weight.narrow(3, distances, weight.size(3) - distances).flatten(1, 2);  // [T|1,R*out,F]
    at::Tensor y = at::matmul(of_maps, maps).unflatten(1, {count, out});
    if (distances == 0) return y;
    const at::Tensor of_distances = weight.narrow(3, 0, 2);  // [T|1,R,out,2]
    const at::Tensor places = (places_.select(0, clip).index_select(1, rows) *
                               features_->size.select(0, clip));  // [T,R,2] pixels
    const at::Tensor at_place = at::matmul(of_distances.expand({frames, -1, -1, -1}),
                                           places.unsqueeze(-1));  // [T,R,out,1]
    return y + (at_place - at::matmul(of_distances, features_->cells));
  }

  KernelShape shape_;
  std::shared_ptr<const Features> features_;
  at::Tensor kernels_;  // [B,T|1,Q,P]
  at::Tensor places_;   // [B,T,Q,2] (x, y) in 0..1 of the unpadded frame, or undefined
};

class DynamicConvolution;

class Prepared final : public PreparedMasks {
 public:
  Prepared(DynamicConvolution& head, std::shared_ptr<const Features> features)
      : head_(head), features_(std::move(features)) {}
  std::shared_ptr<const MaskSource> masks(int64_t layer, const InstanceLayer& embeddings,
                                          const at::Tensor& boxes) const override;

 private:
  DynamicConvolution& head_;
  std::shared_ptr<const Features> features_;
};

class DynamicConvolution final : public MaskHead {
 public:
  using Options = dynamic_convolution::Options;

  DynamicConvolution(const Options& options, const BuildContext& context) : options_(options) {
    const int64_t dim = context.memory.dim;
    const int64_t features = options.feature_channels.value_or(dim / 32);
    if (features < 1 || dim < 4)
      throw ConfigError("mask_head.feature_channels: expected a value beside a memory of width " +
                        std::to_string(dim) + ", of which a 32nd is none, got none.");
    // The finest levels of the memory, finest first.
    levels_.resize(context.memory.strides.size());
    std::iota(levels_.begin(), levels_.end(), size_t{0});
    std::stable_sort(levels_.begin(), levels_.end(), [&](size_t a, size_t b) {
      return context.memory.strides[a] < context.memory.strides[b];
    });
    levels_.resize(std::min(levels_.size(), static_cast<size_t>(options.num_levels)));
    static constexpr const char* kNames[] = {"dcn", "lay4", "lay3"};
    for (size_t i = 0; i < levels_.size(); ++i)
      convs_.push_back(register_module(kNames[i], conv3x3(dim, dim)));
    lay1_ = register_module("lay1", conv3x3(dim, dim / 4));
    lay2_ = register_module("lay2", conv3x3(dim / 4, features));
    for (int64_t i = 0; i < options.num_layers; ++i)
      shape_.layers.emplace_back(
          i + 1 == options.num_layers ? 1 : options.channels,
          i == 0 ? features + (options.coordinates == "none" ? 0 : 2) : options.channels);
    controller_ = register_module("controller",
                                  std::make_shared<Mlp>(context.queries.dim, context.queries.dim,
                                                        shape_.num_parameters(), 3));
    torch::NoGradGuard no_grad;
    for (at::Tensor& parameter : controller_->parameters())
      if (parameter.dim() > 1)
        torch::nn::init::xavier_uniform_(parameter);
      else
        parameter.zero_();
  }

  std::shared_ptr<const PreparedMasks> prepare(const FeaturePyramid& pyramid, const Memory& memory,
                                               const ForwardContext& context) override {
    const int64_t clips = memory.tokens.size(0), frames = memory.num_frames();
    at::Tensor maps;  // [B*T,D,h,w]
    for (size_t i = levels_.size(); i-- > 0;) {
      const at::Tensor level = memory.level_map(levels_[i]).flatten(0, 1);
      const at::Tensor sum =
          maps.defined() ? level + at::upsample_nearest2d(maps, {level.size(2), level.size(3)})
                         : level;
      maps = convs_[i]->forward(sum).relu();
    }
    maps = lay2_->forward(lay1_->forward(maps).relu()).relu();
    auto features = std::make_shared<Features>();
    features->maps = to_full_precision(maps).unflatten(0, {clips, frames});
    features->upsample = options_.upsample;
    context.look("mask_head.features", [&] { return features->maps; });
    if (options_.coordinates != "none") {
      if (!pyramid.padding_mask.defined())
        throw RuntimeError(
            "mask_head.coordinates: expected a pyramid with the frames' padding mask, got none.");
      const int64_t stride = memory.levels.at(levels_[0]).stride;
      auto middles = [&](int64_t count) {
        return at::arange(count, features->maps.options()) * stride +
               static_cast<double>(stride / 2);
      };
      const int64_t height = maps.size(2), width = maps.size(3);
      features->cells = at::stack({middles(width).expand({height, width}).flatten(),
                                   middles(height).unsqueeze(1).expand({height, width}).flatten()});
      const at::Tensor kept = pyramid.padding_mask.logical_not().to(features->maps.scalar_type());
      features->size =
          at::stack({kept.select(2, 0).sum(-1), kept.select(3, 0).sum(-1)}, -1).unsqueeze(2);
    }
    return std::make_shared<Prepared>(*this, std::move(features));
  }
  bool wants_boxes() const override { return options_.coordinates == "box"; }
  bool frames_apart() const override { return true; }

  std::shared_ptr<const MaskSource> source(const std::shared_ptr<const Features>& features,
                                           const InstanceLayer& layer, const at::Tensor& boxes) {
    // One network for the whole clip where the decoder describes instances so, else one a frame.
    const at::Tensor x = layer.clip.defined() ? layer.clip.unsqueeze(1) : layer.frame;
    at::Tensor places;
    if (options_.coordinates == "box") places = boxes.detach().narrow(-1, 0, 2);
    if (options_.coordinates == "reference") {
      if (!layer.references.defined())
        throw ConfigError(
            "mask_head.coordinates: expected a decoder that gives reference points, got none. Set "
            "coordinates = \"box\" or \"none\".");
      places = layer.references.narrow(-1, 0, 2);
    }
    const NoAutocast exact;
    return std::make_shared<Source>(shape_, features, controller_->forward(to_full_precision(x)),
                                    places);
  }

 private:
  Options options_;
  KernelShape shape_;
  std::vector<size_t> levels_;  // of the memory, finest first
  std::vector<torch::nn::Conv2d> convs_;
  torch::nn::Conv2d lay1_{nullptr}, lay2_{nullptr};
  std::shared_ptr<Mlp> controller_;
};

std::shared_ptr<const MaskSource> Prepared::masks(int64_t, const InstanceLayer& embeddings,
                                                  const at::Tensor& boxes) const {
  return head_.source(features_, embeddings, boxes);
}

}  // namespace tessera::mask_head::dynamic_convolution

TESSERA_PLUGIN(MaskHead, tessera::mask_head::dynamic_convolution::DynamicConvolution,
               "dynamic_convolution",
               "Masks by small networks whose weights each instance gives (CondInst, SeqFormer)")
