#include "tests/contract/mock_parts.h"

#include <torch/nn/modules/container/modulelist.h>

#include "core/structures/shape.h"

namespace tessera::mock {

PooledPyramid::PooledPyramid(const Options&, const BuildContext&) {
  for (const LevelSpec& level : spec().levels) {
    convs_.emplace_back(torch::nn::Conv2dOptions(3, level.channels, 1));
    register_module("level" + std::to_string(convs_.size()), convs_.back());
  }
}

FeaturePyramid PooledPyramid::forward(const ClipBatch& batch, const ForwardContext&) {
  FeaturePyramid pyramid;
  const auto levels = spec().levels;
  for (size_t i = 0; i < levels.size(); ++i) {
    const int64_t s = levels[i].stride;
    at::Tensor x = convs_[i]->forward(at::avg_pool2d(batch.frames.flatten(0, 1), {s, s}));
    x = x.unflatten(0, {batch.frames.size(0), batch.frames.size(1)});
    pyramid.levels.push_back({x, resize_padding_mask(batch.padding_mask, x.size(3), x.size(4)), s});
  }
  return pyramid;
}

MultiScale::MultiScale(const Options& options, const BuildContext& context) : options_(options) {
  const int64_t dim = context.attention.dim;
  for (int64_t i = 0; i < context.attention.num_outputs; ++i) {
    outputs_.emplace_back(dim + options.reference_dim, dim);
    register_module("out" + std::to_string(i), outputs_.back());
  }
}

AttentionTraits MultiScale::traits() const {
  AttentionTraits traits;
  traits.scope = AttentionTraits::Scope::frame;
  traits.reference_dim = options_.reference_dim;
  traits.multi_level = true;
  return traits;
}

AttentionOutput MultiScale::forward(const AttentionInput& input, const ForwardContext&) {
  ShapeBinding sizes{{'R', options_.reference_dim}};
  expect_shape(input.query, "[B,T,Q,D]", "query", sizes);
  expect_shape(input.references, "[B,T,Q,R]", "references", sizes);
  expect_shape(input.memory.tokens, "[B,T,S,D]", "memory", sizes);
  at::Tensor mean;
  for (size_t level = 0; level < input.memory.levels.size(); ++level) {
    const at::Tensor part = input.memory.level_map(level).mean({3, 4}).unsqueeze(2);  // [B,T,1,D]
    mean = mean.defined() ? mean + part : part;
  }
  AttentionOutput output;
  for (auto& projection : outputs_)
    output.values.push_back(
        projection->forward(at::cat({input.query + mean, input.references}, -1)));
  return output;
}

SplitScales::SplitScales(const Options&, const BuildContext& context)
    : mix_(
          register_module("mix", torch::nn::Linear(context.attention.dim, context.attention.dim))) {
  if (!context.attention.memory_to_memory)
    throw ConfigError("mock_split_scales: expected an encoder, got a decoder.");
}

AttentionTraits SplitScales::traits() const {
  AttentionTraits traits;
  traits.scope = AttentionTraits::Scope::frame;
  traits.multi_level = traits.memory_to_memory_only = true;
  return traits;
}

AttentionOutput SplitScales::forward(const AttentionInput& input, const ForwardContext&) {
  std::vector<at::Tensor> levels;
  for (const MemoryLevel& level : input.memory.levels) {
    const at::Tensor x = input.query.narrow(2, level.offset, level.height * level.width);
    levels.push_back(mix_->forward(x + x.mean({1, 2}, true)));  // space and time of that scale
  }
  return {{at::cat(levels, 2)}, {}};
}

BoxDecoder::BoxDecoder(const Options& options, const BuildContext& context)
    : dim_(context.memory.dim) {
  queries_ = register_parameter("queries", at::randn({4, dim_}));
  frame_weight_ = register_module("frame_weight", torch::nn::Linear(dim_, 1));
  AttentionSpec cross;
  cross.dim = dim_;
  cross.strides = context.memory.strides;
  cross.num_outputs = 2;
  AttentionSpec temporal;
  temporal.dim = dim_;
  temporal.strides = {1};
  for (int i = 0; i < 2; ++i) {
    cross_.push_back(context.with(cross).make(options.cross_attention));
    temporal_.push_back(context.with(temporal).make(options.temporal_attention));
    register_module("cross" + std::to_string(i), cross_.back());
    register_module("temporal" + std::to_string(i), temporal_.back());
  }
}

InstanceEmbeddings BoxDecoder::forward(const Memory& memory, InstancePredictor& predictor,
                                       const ForwardContext& context) {
  const int64_t clips = memory.tokens.size(0), frames = memory.num_frames(),
                count = queries_.size(0);
  at::Tensor instance = queries_.expand({clips, -1, -1});       // [B,Q,D]
  at::Tensor boxes = queries_.expand({clips, frames, -1, -1});  // [B,T,Q,D]
  at::Tensor references =
      at::full({clips, frames, count, 4}, 0.5, memory.tokens.options());  // boxes
  InstanceEmbeddings embeddings;
  for (size_t i = 0; i < cross_.size(); ++i) {
    Memory own;  // temporal attention: the box queries of all frames are one another's memory
    own.tokens = boxes;
    own.levels = {{0, 1, count, 1}};
    boxes = boxes + temporal_[i]
                        ->forward({boxes.flatten(1, 2).unsqueeze(1), {}, {}, own, {}}, context)
                        .values.at(0)
                        .reshape(boxes.sizes());
    const AttentionOutput read = cross_[i]->forward({boxes, {}, references, memory, {}}, context);
    boxes = boxes + read.values.at(0);
    const at::Tensor share = frame_weight_->forward(boxes).softmax(1);  // over frames
    instance = instance + (share * read.values.at(1)).sum(1);
    InstanceLayer layer{instance, boxes, references};
    const LayerPrediction predicted = predictor.predict(
        static_cast<int64_t>(i), layer, {.classes = false, .boxes = true, .masks = false});
    references = predicted.boxes.detach();
    embeddings.layers.push_back(std::move(layer));
  }
  return embeddings;
}

namespace {

class DotSource final : public MaskSource {
 public:
  DotSource(at::Tensor embeddings, at::Tensor pixels, at::Tensor boxes,
            std::shared_ptr<int64_t> rows_computed)
      : embeddings_(std::move(embeddings)),
        pixels_(std::move(pixels)),
        boxes_(std::move(boxes)),
        rows_computed_(std::move(rows_computed)) {}

  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    *rows_computed_ += rows.size(0);
    const at::Tensor pixels = pixels_.select(0, clip);                             // [T,C,h,w]
    const at::Tensor vectors = embeddings_.select(0, clip).index_select(0, rows);  // [R,C]
    at::Tensor masks = at::einsum("rc,tchw->rthw", {vectors, pixels});
    if (boxes_.defined())
      masks = masks - boxes_.select(0, clip)
                          .index_select(1, rows)
                          .transpose(0, 1)
                          .mean(-1)
                          .unsqueeze(-1)
                          .unsqueeze(-1);
    return masks;
  }
  at::Tensor logits_at(int64_t clip, const at::Tensor& rows,
                       const at::Tensor& points) const override {
    // The features are sampled, not the masks: bilinear sampling is linear. [R,T,P,2] -> [R,T,P]
    const int64_t count = points.size(0);
    const at::Tensor grid =
        points.permute({1, 0, 2, 3}).flatten(1, 2).unsqueeze(1) * 2 - 1;  // [T,1,R*P,2]
    const at::Tensor features = at::grid_sampler(pixels_.select(0, clip), grid, 0, 0, false)
                                    .squeeze(2)
                                    .unflatten(2, {count, points.size(2)});  // [T,C,R,P]
    const at::Tensor vectors = embeddings_.select(0, clip).index_select(0, rows);
    at::Tensor sampled = at::einsum("rc,tcrp->rtp", {vectors, features});
    return sampled;
  }

 private:
  at::Tensor embeddings_, pixels_, boxes_;
  std::shared_ptr<int64_t> rows_computed_;
};

class DotPrepared final : public PreparedMasks {
 public:
  DotPrepared(torch::nn::Linear embed, at::Tensor pixels, std::shared_ptr<int64_t> rows,
              bool box_prior)
      : embed_(std::move(embed)),
        pixels_(std::move(pixels)),
        rows_(std::move(rows)),
        box_prior_(box_prior) {}
  std::shared_ptr<const MaskSource> masks(int64_t, const InstanceLayer& layer,
                                          const at::Tensor& boxes) const override {
    if (box_prior_ && !boxes.defined())
      throw RuntimeError("mock_dot_product: expected boxes, got none.");
    const at::Tensor x = layer.clip.defined() ? layer.clip : layer.frame.mean(1);
    return std::make_shared<DotSource>(torch::nn::Linear(embed_)->forward(x), pixels_,
                                       box_prior_ ? boxes : at::Tensor(), rows_);
  }

 private:
  torch::nn::Linear embed_;
  at::Tensor pixels_;
  std::shared_ptr<int64_t> rows_;
  bool box_prior_;
};

}  // namespace

DotProductMasks::DotProductMasks(const Options& options, const BuildContext& context)
    : options_(options),
      embed_(register_module("embed", torch::nn::Linear(context.queries.dim, 16))) {
  if (context.memory.pixel_channels == 0)
    pixels_ = register_module("pixels", torch::nn::Conv2d(torch::nn::Conv2dOptions(
                                            context.pyramid.levels[0].channels, 16, 1)));
}

std::shared_ptr<const PreparedMasks> DotProductMasks::prepare(const FeaturePyramid& pyramid,
                                                              const Memory& memory,
                                                              const ForwardContext&) {
  at::Tensor pixels = memory.pixel_features;
  if (!pixels.defined()) {
    const at::Tensor& fine = pyramid.levels[0].features;
    pixels = pixels_->forward(fine.flatten(0, 1)).unflatten(0, {fine.size(0), fine.size(1)});
  }
  return std::make_shared<DotPrepared>(embed_, pixels, rows_computed, options_.box_prior);
}

TinyDiscriminator::TinyDiscriminator(const Options&, const BuildContext& context)
    : score_(register_module("score", torch::nn::Linear(4 + context.memory.dim, 1))) {}

at::Tensor TinyDiscriminator::judge(const AuxiliaryInput& input, const at::Tensor& masks,
                                    bool frozen) {
  const at::Tensor colour = input.batch.frames.mean({0, 1, 3, 4});  // [3]
  const at::Tensor features = input.memory.tokens.mean({0, 1, 2});  // [D]
  const at::Tensor x = at::cat({colour, features, masks.mean().reshape({1})});
  const at::Tensor weight = frozen ? score_->weight.detach() : score_->weight;
  const at::Tensor bias = frozen ? score_->bias.detach() : score_->bias;
  return at::linear(x, weight, bias).sigmoid();
}

std::vector<NamedLoss> TinyDiscriminator::model_losses(const AuxiliaryInput& input,
                                                       const ForwardContext&) {
  const at::Tensor fake =
      input.predictions.last().masks->logits(0, input.matches[0].prediction).sigmoid();
  return {{"adversarial", -judge(input, fake, /*frozen=*/true).log().sum(), 0.1}};
}

std::vector<NamedLoss> TinyDiscriminator::own_losses(const AuxiliaryInput& input,
                                                     const ForwardContext&) {
  Memory detached = input.memory;
  detached.tokens = detached.tokens.detach();
  const AuxiliaryInput own{input.batch,       input.pyramid, detached,
                           input.predictions, input.targets, input.matches};
  const at::Tensor fake =
      input.predictions.last().masks->logits(0, input.matches[0].prediction).sigmoid().detach();
  const at::Tensor real = input.targets[0].masks.to(at::kFloat);
  return {{"discriminator",
           -judge(own, real, false).log().sum() - (1 - judge(own, fake, false)).log().sum(), 1.0}};
}

void add_all(Registry& registry) {
  static const PluginDescriptor kDescriptors[] = {
      make_descriptor<Backbone, PooledPyramid>("mock_pooled_pyramid", "mock"),
      make_descriptor<Attention, MultiScale>("mock_multi_scale", "mock"),
      make_descriptor<Attention, SplitScales>("mock_split_scales", "mock"),
      make_descriptor<Decoder, BoxDecoder>("mock_boxes", "mock"),
      make_descriptor<MaskHead, DotProductMasks>("mock_dot_product", "mock"),
      make_descriptor<Auxiliary, TinyDiscriminator>("mock_discriminator", "mock")};
  for (const PluginDescriptor& descriptor : kDescriptors) registry.add(descriptor, "test");
}

}  // namespace tessera::mock
