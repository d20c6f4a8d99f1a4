// VisTR's mask head. Per frame: attention map of each query on the memory (softmax joint over heads
// and cells), joined with the memory and run through an FPN of 3x3 convolutions over strides 32,
// 16, 8, 4, a deformable 3x3 convolution last; then per instance 3-D convolutions over its frames.
// SimVTR's has a second deformable convolution instead, which gives the mask itself.
// Keys: bbox_attention.{q,k}_linear, mask_head.{lay1..4, gn1..5, conv_offset, dcn, adapter1..3},
// insmask_head.{0,3,6,9} (convolutions), {1,4,7} (norms); SimVTR: mask_head.{conv_offset2, dcn2}.
// Differs from the reference: any width its norms divide, any clip length, batches.

#include <ATen/ATen.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "core/interfaces/mask_head.h"
#include "core/nn/memory_format.h"
#include "core/ops/deform_conv2d.h"
#include "core/plugin/plugin.h"
#include "core/structures/shape.h"

namespace tessera::mask_head::vistr_masks {

struct Options {
  int64_t num_heads = 8;
  std::string deform_conv = "v1";
  int64_t num_deform_convs = 1;
  bool with_3d_conv = true;
  int64_t norm_groups = 8;

  static void describe(Schema<Options>& schema) {
    schema.field("num_heads", &Options::num_heads, "Heads of the attention map.").at_least(1);
    schema
        .field("deform_conv", &Options::deform_conv,
               "Last 2-D convolutions: plain (none), deformable (v1), modulated (v2).")
        .one_of({"none", "v1", "v2"});
    schema
        .field("num_deform_convs", &Options::num_deform_convs,
               "1: one of them, then the part over an instance's frames (VisTR); 2: the second "
               "gives the mask and nothing follows (SimVTR).")
        .between(1, 2);
    schema.field("with_3d_conv", &Options::with_3d_conv,
                 "3-D convolutions over an instance's frames; without them a 1x1 convolution, or "
                 "nothing after two deformable ones.");
    schema.field("norm_groups", &Options::norm_groups, "Groups of the 2-D part's group norms.")
        .at_least(1);
    schema.validate([](const Options& o) {
      if (o.num_deform_convs == 2 && o.with_3d_conv)
        throw ConfigError(
            "with_3d_conv: expected false with num_deform_convs = 2, got true: the second gives "
            "one channel, the mask.");
    });
  }
};

torch::nn::GroupNorm group_norm(int64_t groups, int64_t channels) {
  if (channels % groups != 0)
    throw ConfigError(
        "mask_head.norm_groups: expected a divisor of every width of the head, got " +
        std::to_string(groups) + " for " + std::to_string(channels) +
        " channels. The widths are D + num_heads, D/2, D/4, D/8, D/16; choose D or the "
        "groups to fit.");
  return torch::nn::GroupNorm(torch::nn::GroupNormOptions(groups, channels));
}

torch::nn::Conv2d conv2d(int64_t in, int64_t out, int64_t kernel, bool bias = true) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).padding(kernel / 2).bias(bias));
}

/// Where each query looks in its frame.
class AttentionMap final : public torch::nn::Module {
 public:
  AttentionMap(int64_t dim, int64_t num_heads)
      : num_heads_(num_heads),
        q_linear_(register_module("q_linear", torch::nn::Linear(dim, dim))),
        k_linear_(register_module("k_linear", torch::nn::Linear(dim, dim))) {}

  /// in: query [T,R,D], memory [T,D,h,w], padding [T,h,w] or undefined. out: [T,R,M,h,w].
  at::Tensor forward(const at::Tensor& query, const at::Tensor& memory, const at::Tensor& padding) {
    const int64_t dim = query.size(-1), frames = memory.size(0), height = memory.size(2),
                  width = memory.size(3);
    const double scale = std::sqrt(static_cast<double>(num_heads_) / static_cast<double>(dim));
    const at::Tensor q = (q_linear_->forward(query) * scale).unflatten(-1, {num_heads_, -1});
    const at::Tensor k =
        at::conv2d(memory, k_linear_->weight.unsqueeze(-1).unsqueeze(-1), k_linear_->bias)
            .reshape({frames, num_heads_, dim / num_heads_, height * width});
    // [T,M,R,d] x [T,M,d,hw] -> [T,R,M,hw]
    at::Tensor score = at::matmul(q.transpose(1, 2), k).transpose(1, 2);
    if (padding.defined())
      score = score.masked_fill(padding.flatten(1).unsqueeze(1).unsqueeze(1),
                                -std::numeric_limits<double>::infinity());
    return score.flatten(2).softmax(-1).reshape({frames, query.size(1), num_heads_, height, width});
  }

 private:
  int64_t num_heads_;
  torch::nn::Linear q_linear_, k_linear_;
};

/// One of the last 3x3 convolutions: plain, deformable or modulated, without bias. Its parameters
/// are the parent's: `conv_offset<suffix>` and `dcn<suffix>`, whose weight is a plain
/// convolution's.
class LastConvolution {
 public:
  LastConvolution(torch::nn::Module& parent, const std::string& suffix, const std::string& kind,
                  int64_t in, int64_t out)
      : kind_(kind) {
    if (kind != "none") {
      offset_ = parent.register_module("conv_offset" + suffix,
                                       conv2d(in, (kind == "v2" ? 3 : 2) * kTaps, 1));
      torch::NoGradGuard no_grad;
      offset_->weight.zero_();
      offset_->bias.zero_();
    }
    dcn_ = parent.register_module("dcn" + suffix, conv2d(in, out, 3, /*bias=*/false));
  }
  /// in: [N,in,h,w], out: [N,out,h,w].
  at::Tensor operator()(const at::Tensor& x) {
    if (kind_ == "none") return dcn_->forward(x);
    DeformConvOptions options;
    options.padding = {1, 1};
    at::Tensor offset = offset_->forward(x);
    std::optional<at::Tensor> modulation;
    if (kind_ == "v2") {
      modulation = offset.narrow(1, 2 * kTaps, kTaps).sigmoid();
      offset = offset.narrow(1, 0, 2 * kTaps);
    }
    return deform_conv2d(x, offset, modulation, dcn_->weight, std::nullopt, options);
  }

 private:
  static constexpr int64_t kTaps = 9;
  std::string kind_;
  torch::nn::Conv2d offset_{nullptr}, dcn_{nullptr};
};

/// The 2-D part: strides 32 -> 4, dim + M -> dim / 16 channels, or 1 (the mask) with two last
/// convolutions.
class FrameMasks final : public torch::nn::Module {
 public:
  FrameMasks(const Options& options, int64_t dim, const std::vector<int64_t>& fpn_channels) {
    const int64_t joined = dim + options.num_heads;
    const std::vector<int64_t> widths = {joined, dim / 2, dim / 4, dim / 8, dim / 16};
    int64_t in = joined;
    for (size_t i = 0; i < 5; ++i) {
      const std::string index = std::to_string(i + 1);
      norms_.push_back(register_module("gn" + index, group_norm(options.norm_groups, widths[i])));
      if (i < 4) layers_.push_back(register_module("lay" + index, conv2d(in, widths[i], 3)));
      in = widths[i];
    }
    for (size_t i = 0; i < 3; ++i)
      adapters_.push_back(register_module("adapter" + std::to_string(i + 1),
                                          conv2d(fpn_channels[i], widths[i + 1], 1)));
    last_.emplace_back(*this, "", options.deform_conv, widths[3], widths[4]);
    if (options.num_deform_convs == 2)
      last_.emplace_back(*this, "2", options.deform_conv, widths[4], 1);
  }

  /// in: memory [T,D,h,w], maps [T,R,M,h,w], fine: features [T,C,h,w] at strides 16, 8, 4.
  /// out: [T,R,D/16 or 1,H/4,W/4].
  at::Tensor forward(const at::Tensor& memory, const at::Tensor& maps,
                     const std::vector<at::Tensor>& fine) {
    const int64_t frames = maps.size(0), rows = maps.size(1);
    at::Tensor x = channels_last_on_cpu(joined(memory, maps));  // [T*R,D+M,h,w]
    for (size_t i = 0; i < 4; ++i) {
      if (i > 0) x = layers_[i]->forward(x);
      x = norms_[i]->forward(x).relu_();
      // Layer 1 keeps the stride; after each later one a finer level joins.
      if (i > 0) x = join(x, adapters_[i - 1]->forward(fine[i - 1]), rows);
    }
    x = norms_[4]->forward(last_[0](x)).relu_();
    if (last_.size() == 2) x = last_[1](x);
    return x.unflatten(0, {frames, rows});
  }

 private:
  // Layer 1 on memory and maps side by side. It is linear, and all rows of a frame have the same
  // memory: that part, D of D + M channels, is computed once a frame.
  at::Tensor joined(const at::Tensor& memory, const at::Tensor& maps) {
    auto& layer = layers_[0];
    const int64_t dim = memory.size(1);
    const at::Tensor shared =
        at::conv2d(memory.contiguous(), layer->weight.narrow(1, 0, dim), layer->bias, 1,
                   /*padding=*/1);
    const at::Tensor own = at::conv2d(
        maps.flatten(0, 1), layer->weight.narrow(1, dim, maps.size(2)), {}, 1, /*padding=*/1);
    return (own.unflatten(0, {maps.size(0), maps.size(1)}) + shared.unsqueeze(1)).flatten(0, 1);
  }
  // Adds the finer level to the upsampled coarser one: [T*R,C,h,w] and [T,C,H,W] -> [T*R,C,H,W].
  static at::Tensor join(const at::Tensor& x, const at::Tensor& fine, int64_t rows) {
    const at::Tensor up = at::upsample_nearest2d(x, {fine.size(2), fine.size(3)});
    return up.unflatten(0, {fine.size(0), rows}).add_(fine.unsqueeze(1)).flatten(0, 1);
  }

  std::vector<torch::nn::Conv2d> layers_, adapters_;
  std::vector<torch::nn::GroupNorm> norms_;
  std::vector<LastConvolution> last_;
};

/// The 3-D part: convolutions over an instance's frames, [R,C,T,h,w] -> [R,T,h,w].
class TrackMasks final : public torch::nn::Module {
 public:
  TrackMasks(bool with_3d_conv, int64_t channels) {
    constexpr int64_t kHidden = 12;
    if (!with_3d_conv) {
      convs_.push_back(
          register_module("0", torch::nn::Conv3d(torch::nn::Conv3dOptions(channels, 1, 1))));
      return;
    }
    for (int64_t i = 0; i < 3; ++i) {
      convs_.push_back(register_module(
          std::to_string(3 * i),
          torch::nn::Conv3d(torch::nn::Conv3dOptions(i == 0 ? channels : kHidden, kHidden, 3)
                                .padding(2)
                                .dilation(2))));
      norms_.push_back(register_module(std::to_string(3 * i + 1), group_norm(4, kHidden)));
    }
    convs_.push_back(
        register_module("9", torch::nn::Conv3d(torch::nn::Conv3dOptions(kHidden, 1, 1))));
  }
  at::Tensor forward(at::Tensor x) {
    x = channels_last_on_cpu(x);
    for (size_t i = 0; i < norms_.size(); ++i)
      x = norms_[i]->forward(convs_[i]->forward(x)).relu_();
    return convs_.back()->forward(x).squeeze(1);
  }

 private:
  std::vector<torch::nn::Conv3d> convs_;
  std::vector<torch::nn::GroupNorm> norms_;
};

struct Networks {
  std::shared_ptr<AttentionMap> bbox_attention;
  std::shared_ptr<FrameMasks> mask_head;
  std::shared_ptr<TrackMasks> insmask_head;  // null where mask_head gives the mask
};

/// What one batch's features are to the head.
struct Features {
  at::Tensor memory;             // [B,T,D,h,w] coarsest level
  at::Tensor padding;            // [B,T,h,w] or undefined
  std::vector<at::Tensor> fine;  // [B,T,C,h,w] at strides 16, 8, 4
};

class Source final : public MaskSource {
 public:
  Source(Networks networks, std::shared_ptr<const Features> features, at::Tensor embeddings,
         const ForwardContext& context)
      : networks_(std::move(networks)),
        features_(std::move(features)),
        embeddings_(std::move(embeddings)),
        context_(context) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    const at::Tensor query = embeddings_.select(0, clip).index_select(1, rows);  // [T,R,D]
    const at::Tensor memory = features_->memory.select(0, clip);
    const at::Tensor padding =
        features_->padding.defined() ? features_->padding.select(0, clip) : at::Tensor();
    const at::Tensor maps = networks_.bbox_attention->forward(query, memory, padding);
    context_.look("mask_head.attention", [&] { return maps; });
    std::vector<at::Tensor> fine;
    for (const auto& level : features_->fine) fine.push_back(level.select(0, clip));
    const at::Tensor features = networks_.mask_head->forward(memory, maps, fine);  // [T,R,C,h,w]
    context_.look("mask_head.features", [&] { return features; });
    if (!networks_.insmask_head) return features.squeeze(2).transpose(0, 1);
    return networks_.insmask_head->forward(features.permute({1, 2, 0, 3, 4}));
  }

 private:
  Networks networks_;
  std::shared_ptr<const Features> features_;
  at::Tensor embeddings_;  // [B,T,Q,D]
  ForwardContext context_;
};

class Prepared final : public PreparedMasks {
 public:
  Prepared(Networks networks, Features features, const ForwardContext& context)
      : networks_(std::move(networks)),
        features_(std::make_shared<Features>(std::move(features))),
        context_(context) {}
  std::shared_ptr<const MaskSource> masks(int64_t, const InstanceLayer& layer,
                                          const at::Tensor&) const override {
    const at::Tensor embeddings =
        layer.frame.defined()
            ? layer.frame
            : layer.clip.unsqueeze(1).expand({-1, features_->memory.size(1), -1, -1});
    return std::make_shared<Source>(networks_, features_, embeddings, context_);
  }

 private:
  Networks networks_;
  std::shared_ptr<const Features> features_;
  ForwardContext context_;
};

class VistrMasks final : public MaskHead {
 public:
  using Options = vistr_masks::Options;

  VistrMasks(const Options& options, const BuildContext& context)
      : frames_apart_(!options.with_3d_conv) {
    const auto& levels = context.pyramid.levels;
    const int64_t dim = context.memory.dim;
    if (levels.size() < 4)
      throw ConfigError("mask_head: expected a backbone with four output stages, got " +
                        std::to_string(levels.size()) + ".");
    if (dim % options.num_heads != 0 || dim % 16 != 0)
      throw ConfigError("mask_head: expected a memory width that 16 and num_heads divide, got " +
                        std::to_string(dim) + ".");
    const size_t n = levels.size();
    networks_.bbox_attention =
        register_module("bbox_attention", std::make_shared<AttentionMap>(dim, options.num_heads));
    networks_.mask_head = register_module(
        "mask_head", std::make_shared<FrameMasks>(
                         options, dim,
                         std::vector<int64_t>{levels[n - 2].channels, levels[n - 3].channels,
                                              levels[n - 4].channels}));
    if (options.num_deform_convs == 1)
      networks_.insmask_head = register_module(
          "insmask_head", std::make_shared<TrackMasks>(options.with_3d_conv, dim / 16));
  }

  std::shared_ptr<const PreparedMasks> prepare(const FeaturePyramid& pyramid, const Memory& memory,
                                               const ForwardContext& context) override {
    Features features;
    size_t coarsest = 0;
    for (size_t l = 0; l < memory.levels.size(); ++l)
      if (memory.levels[l].stride > memory.levels[coarsest].stride) coarsest = l;
    features.memory = memory.level_map(coarsest);
    if (memory.padding_mask.defined()) {
      const MemoryLevel& level = memory.levels[coarsest];
      features.padding = memory.padding_mask.narrow(2, level.offset, level.height * level.width)
                             .unflatten(2, {level.height, level.width});
    }
    const size_t n = pyramid.levels.size();
    for (size_t i = 2; i <= 4; ++i) features.fine.push_back(pyramid.levels.at(n - i).features);
    return std::make_shared<Prepared>(networks_, std::move(features), context);
  }
  // 3-D convolutions look at neighbouring frames.
  bool frames_apart() const override { return frames_apart_; }

 private:
  bool frames_apart_;
  Networks networks_;
};

}  // namespace tessera::mask_head::vistr_masks

TESSERA_PLUGIN(MaskHead, tessera::mask_head::vistr_masks::VistrMasks, "vistr_masks",
               "VisTR's mask head: attention map, FPN, deformable and 3-D convolutions")
