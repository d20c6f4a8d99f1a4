#include "launcher/contract/harness.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <array>

#include "core/error.h"
#include "core/interfaces/auxiliary.h"
#include "core/interfaces/backbone.h"
#include "core/interfaces/decoder.h"
#include "core/interfaces/encoder.h"
#include "core/interfaces/feature_loss.h"
#include "core/interfaces/instance_head.h"
#include "core/interfaces/linker.h"
#include "core/interfaces/loss.h"
#include "core/interfaces/mask_head.h"
#include "core/interfaces/matcher.h"
#include "core/structures/shape.h"
#include "launcher/contract/data_parts.h"

namespace tessera::contract {
namespace {

// Tiny, non-square, more than one clip; 128 is the smallest width that every shipped head divides.
constexpr int64_t kClips = 2, kHeight = 64, kWidth = 96, kDim = 128, kQueries = 3, kCategories = 4;

/// The same numbers on every call, in the wanted type.
class Numbers {
 public:
  explicit Numbers(at::ScalarType type)
      : type_(type), generator_(at::make_generator<at::CPUGeneratorImpl>(7)) {}
  at::Tensor normal(at::IntArrayRef shape) {
    return at::randn(shape, generator_, at::kDouble).to(type_);
  }
  at::Tensor uniform(at::IntArrayRef shape) {
    return at::rand(shape, generator_, at::kDouble).to(type_);
  }
  at::ScalarType type() const { return type_; }

 private:
  at::ScalarType type_;
  at::Generator generator_;
};

PyramidSpec pyramid_spec() {
  return {{{16, 4}, {24, 8}, {32, 16}, {40, 32}}};
}

ClipBatch make_batch(int64_t frames, Numbers& numbers) {
  ClipBatch batch;
  batch.frames = numbers.normal({kClips, frames, 3, kHeight, kWidth});
  batch.padding_mask = at::zeros({kClips, frames, kHeight, kWidth}, at::kBool);
  batch.padding_mask.select(0, 1).narrow(2, kWidth - 32, 32).fill_(true);
  batch.meta.resize(kClips);
  return batch;
}

FeaturePyramid make_pyramid(int64_t frames, Numbers& numbers) {
  const ClipBatch batch = make_batch(frames, numbers);
  FeaturePyramid pyramid;
  for (const LevelSpec& level : pyramid_spec().levels) {
    const int64_t h = kHeight / level.stride, w = kWidth / level.stride;
    pyramid.levels.push_back({numbers.normal({kClips, frames, level.channels, h, w}),
                              resize_padding_mask(batch.padding_mask, h, w), level.stride});
  }
  pyramid.padding_mask = batch.padding_mask;
  return pyramid;
}

/// What an auxiliary network sees of the encoder; other parts have one level.
constexpr std::array<int64_t, 3> kAuxiliaryStrides{8, 16, 32};

Memory make_levels(int64_t frames, Numbers& numbers) {
  Memory memory;
  int64_t cells = 0;
  for (const int64_t stride : kAuxiliaryStrides) {
    const int64_t h = kHeight / stride, w = kWidth / stride;
    memory.levels.push_back({cells, h, w, stride});
    cells += h * w;
  }
  memory.tokens = numbers.normal({kClips, frames, cells, kDim});
  return memory;
}

Memory make_memory(int64_t frames, Numbers& numbers) {
  const int64_t h = kHeight / 32, w = kWidth / 32;
  Memory memory;
  memory.tokens = numbers.normal({kClips, frames, h * w, kDim});
  memory.position = numbers.normal({kClips, frames, h * w, kDim});
  memory.padding_mask =
      resize_padding_mask(make_batch(frames, numbers).padding_mask, h, w).flatten(2);
  memory.levels = {{0, h, w, 32}};
  memory.valid_ratio = at::ones({kClips, frames, 1, 2}).to(numbers.type());
  memory.valid_ratio.select(0, 1).select(-1, 0).fill_(2.0 / 3.0);
  return memory;
}

InstanceLayer make_embeddings(int64_t frames, Numbers& numbers) {
  InstanceLayer layer;
  layer.frame = numbers.normal({kClips, frames, kQueries, kDim});
  layer.clip = layer.frame.mean(1);
  layer.references = numbers.uniform({kClips, frames, kQueries, 2});
  return layer;
}

/// Masks that are just there.
class FixedMasks final : public MaskSource {
 public:
  explicit FixedMasks(at::Tensor logits) : logits_(std::move(logits)) {}
  at::Tensor logits(int64_t clip, const at::Tensor& rows) const override {
    return logits_.select(0, clip).index_select(0, rows);
  }

 private:
  at::Tensor logits_;  // [B,Q,T,h,w]
};

LayerPrediction make_prediction(int64_t frames, Numbers& numbers, int64_t queries = kQueries) {
  LayerPrediction prediction;
  prediction.classes.logits =
      numbers.normal({kClips, frames, queries, kCategories + 1}).set_requires_grad(true);
  prediction.classes.scope = ClassScope::frame;
  prediction.boxes = numbers.uniform({kClips, frames, queries, 4}) * 0.5 + 0.2;
  prediction.masks =
      std::make_shared<FixedMasks>(numbers.normal({kClips, queries, frames, 16, 24}));
  return prediction;
}

Targets make_targets(int64_t frames, Numbers& numbers) {
  Targets targets;
  for (int64_t instances : {int64_t{2}, int64_t{0}}) {  // a clip without instances must work
    ClipTargets target;
    target.labels = at::arange(instances);
    target.boxes = numbers.uniform({instances, frames, 4}) * 0.5 + 0.2;
    target.valid = at::ones({instances, frames}, at::kBool);
    target.masks = numbers.uniform({instances, frames, kHeight, kWidth}) > 0.5;
    target.height = kHeight;
    target.width = kWidth;
    if (instances > 0 && frames > 1) {
      target.valid[0][0] = false;
      target.boxes[0][0].zero_();
      target.masks[0][0].zero_();
    }
    targets.push_back(std::move(target));
  }
  return targets;
}

Matches make_matches(const Targets& targets) {
  Matches matches;
  for (const ClipTargets& target : targets) {
    const at::Tensor order = at::arange(target.num_instances());
    matches.push_back({order, order.flip(0), target.valid.flip(0),
                       at::zeros({kQueries, target.num_instances()})});
  }
  return matches;
}

void check(bool holds, const std::string& expected) {
  if (!holds) throw RuntimeError("expected " + expected + ".");
}

std::vector<at::Tensor> run_backbone(Backbone& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const FeaturePyramid pyramid = part.forward(make_batch(frames, numbers), context);
  const PyramidSpec spec = part.spec();
  check(pyramid.levels.size() == spec.levels.size(), "as many levels as spec() says");
  std::vector<at::Tensor> outputs;
  for (size_t i = 0; i < spec.levels.size(); ++i) {
    ShapeBinding sizes{{'B', kClips}, {'T', frames}, {'C', spec.levels[i].channels}};
    expect_shape(pyramid.levels[i].features, "[B,T,C,h,w]", "level " + std::to_string(i), sizes);
    expect_shape(pyramid.levels[i].padding_mask, "[B,T,h,w]",
                 "padding of level " + std::to_string(i), sizes);
    check(pyramid.levels[i].stride == spec.levels[i].stride, "the strides that spec() says");
    check((kHeight + spec.levels[i].stride - 1) / spec.levels[i].stride == sizes['h'],
          "a map of height H / stride");
    outputs.push_back(pyramid.levels[i].features);
  }
  return outputs;
}

/// What an attention says of where it looked, where it says something.
void check_sampling(const AttentionSampling& sampling, const at::Tensor& query,
                    const Memory& memory, bool whole_clip) {
  if (!sampling.weights.defined()) return;
  ShapeBinding sizes{{'B', query.size(0)}, {'G', query.size(1)}, {'Q', query.size(2)}};
  if (sampling.locations.defined()) {
    expect_shape(sampling.weights, "[B,G,Q,M,P]", "sampling weights", sizes);
    sizes['R'] = sampling.locations.size(-1) == 2 ? 2 : 3;
    expect_shape(sampling.locations, "[B,G,Q,M,P,R]", "sampling locations", sizes);
  } else {
    sizes['K'] = memory.tokens.size(2) * (whole_clip ? memory.num_frames() : 1);
    expect_shape(sampling.weights, "[B,G,M,Q,K]", "attention weights", sizes);
  }
}

std::vector<at::Tensor> run_attention(Attention& part, int64_t frames, Numbers& numbers) {
  const AttentionTraits traits = part.traits();
  const Memory memory = make_memory(frames, numbers);
  const int64_t groups = traits.scope == AttentionTraits::Scope::clip ? 1 : frames;
  at::Tensor query = numbers.normal({kClips, groups, 5, kDim}),
             position = numbers.normal({kClips, groups, 5, kDim});
  if (traits.memory_to_memory_only) {
    query = memory.tokens.reshape({kClips, groups, -1, kDim});
    position = memory.position.reshape({kClips, groups, -1, kDim});
  }
  at::Tensor references;
  if (traits.reference_dim > 0)
    references = numbers.uniform({kClips, groups, query.size(2), traits.reference_dim});
  const ForwardContext context;
  const AttentionOutput output =
      part.forward({query, position, references, memory, {}, /*wants_sampling=*/true}, context);
  check(output.values.size() == 1, "as many outputs as the spec asks for (1)");
  check(output.values[0].sizes() == query.sizes(), "an output shaped as the query, " +
                                                       shape_text(query.sizes()) + ", got " +
                                                       shape_text(output.values[0].sizes()));
  check_sampling(output.sampling, query, memory, groups == 1);
  return output.values;
}

std::vector<at::Tensor> run_encoder(Encoder& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const Memory memory = part.forward(make_pyramid(frames, numbers), context);
  const MemorySpec spec = part.spec();
  ShapeBinding sizes{{'B', kClips},
                     {'T', frames},
                     {'D', spec.dim},
                     {'L', static_cast<int64_t>(spec.strides.size())}};
  expect_shape(memory.tokens, "[B,T,S,D]", "memory", sizes);
  expect_shape(memory.valid_ratio, "[B,T,L,2]", "valid_ratio", sizes);
  if (memory.padding_mask.defined())
    expect_shape(memory.padding_mask, "[B,T,S]", "padding_mask", sizes);
  check(memory.levels.size() == spec.strides.size(), "as many levels as spec() says");
  check(memory.pixel_features.defined() == (spec.pixel_channels > 0),
        "fine features just where spec() says so");
  if (!memory.pixel_features.defined()) return {memory.tokens};
  sizes['C'] = spec.pixel_channels;
  expect_shape(memory.pixel_features, "[B,T,C,h,w]", "pixel_features", sizes);
  check((kHeight + spec.pixel_stride - 1) / spec.pixel_stride == sizes['h'],
        "fine features of height H / pixel_stride");
  return {memory.tokens, memory.pixel_features};
}

/// Heads that give fixed numbers, for a decoder that asks.
class FixedPredictor final : public InstancePredictor {
 public:
  explicit FixedPredictor(LayerPrediction prediction) : prediction_(std::move(prediction)) {}
  LayerPrediction predict(int64_t, const InstanceLayer&, PredictionWant) override {
    return prediction_;
  }

 private:
  LayerPrediction prediction_;
};

std::vector<at::Tensor> run_decoder(Decoder& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const QuerySpec spec = part.spec();
  FixedPredictor heads(make_prediction(frames, numbers, spec.num_queries));
  const Memory memory = make_memory(frames, numbers);
  const FeaturePyramid pyramid = make_pyramid(frames, numbers);
  const InstanceEmbeddings embeddings =
      part.decode({pyramid, memory, heads, context, {}, nullptr}).embeddings;
  check(static_cast<int64_t>(embeddings.layers.size()) == spec.num_layers,
        "as many layers as spec() says");
  std::vector<at::Tensor> outputs;
  for (const InstanceLayer& layer : embeddings.layers) {
    ShapeBinding sizes{{'B', kClips}, {'T', frames}, {'Q', spec.num_queries}, {'D', spec.dim}};
    check(layer.frame.defined() == spec.per_frame,
          "embeddings per frame just where spec() says so");
    if (layer.frame.defined()) expect_shape(layer.frame, "[B,T,Q,D]", "embeddings", sizes);
    if (layer.clip.defined()) expect_shape(layer.clip, "[B,Q,D]", "embeddings", sizes);
    for (const at::Tensor& output : {layer.frame, layer.clip})
      if (output.defined()) outputs.push_back(output);
  }
  return outputs;
}

std::vector<at::Tensor> run_instance_head(InstanceHead& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const LayerPrediction prediction =
      part.forward(0, make_embeddings(frames, numbers), frames,
                   {.classes = true, .boxes = true, .masks = false}, context);
  ShapeBinding sizes{{'B', kClips}, {'T', frames}, {'Q', kQueries}};
  expect_shape(prediction.boxes, "[B,T,Q,4]", "boxes", sizes);
  expect_shape(prediction.classes.logits,
               prediction.classes.scope == ClassScope::frame ? "[B,T,Q,C]" : "[B,Q,C]",
               "class logits", sizes);
  check(prediction.classes.num_classes() >= kCategories + prediction.classes.label_offset,
        "a class for every category");
  check(prediction.boxes.min().item<double>() >= 0 && prediction.boxes.max().item<double>() <= 1,
        "boxes in 0..1");
  return {prediction.classes.logits, prediction.boxes};
}

std::vector<at::Tensor> run_mask_head(MaskHead& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const auto prepared =
      part.prepare(make_pyramid(frames, numbers), make_memory(frames, numbers), context);
  const auto masks = prepared->masks(0, make_embeddings(frames, numbers),
                                     numbers.uniform({kClips, frames, kQueries, 4}) * 0.5 + 0.2);
  const at::Tensor all = masks->logits(1, at::arange(kQueries));
  const at::Tensor one = masks->logits(1, at::tensor({int64_t{2}}));
  ShapeBinding sizes{{'Q', kQueries}, {'T', frames}};
  expect_shape(all, "[Q,T,h,w]", "mask logits", sizes);
  expect_shape(one, "[1,T,h,w]", "mask logits of one row", sizes);
  check(at::allclose(one, all.narrow(0, 2, 1), 1e-3, 1e-4),
        "a row to be the same alone and among others");
  const at::Tensor points =
      masks->logits_at(1, at::tensor({int64_t{2}}), numbers.uniform({1, frames, 6, 2}));
  expect_shape(points, "[1,T,6]", "logits at points", sizes);
  return {all, points};
}

std::vector<at::Tensor> run_matcher(Matcher& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const LayerPrediction prediction = make_prediction(frames, numbers);
  const Targets targets = make_targets(frames, numbers);
  const Matches matches = part.match(0, prediction, targets, context);
  check(matches.size() == targets.size(), "a match for every clip");
  for (size_t clip = 0; clip < matches.size(); ++clip) {
    ShapeBinding sizes{{'N', targets[clip].num_instances()}, {'Q', kQueries}, {'T', frames}};
    expect_shape(matches[clip].cost, "[Q,N]", "cost", sizes);
    expect_shape(matches[clip].prediction, "[R]", "prediction", sizes);
    expect_shape(matches[clip].target, "[R]", "target", sizes);
    expect_shape(matches[clip].valid, "[R,T]", "valid", sizes);
    check(std::get<0>(at::_unique(matches[clip].prediction)).size(0) == sizes['R'],
          "every prediction at most once");
  }
  return {matches[0].cost};
}

std::vector<at::Tensor> run_loss(Loss& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  LayerPrediction prediction = make_prediction(frames, numbers);
  const Targets targets = make_targets(frames, numbers);
  const Matches matches = make_matches(targets);
  LossInput input(0, prediction, targets, matches, context);
  input.num_instances = 2;
  input.num_instance_frames = 2.0 * static_cast<double>(frames);
  input.num_valid_frames = targets[0].valid.sum().item<double>();
  at::Tensor value;
  try {
    value = part.forward(input);
  } catch (const ConfigError&) {
    // A term may be for one coding of classes; then the other one must do.
    prediction.classes.activation = ClassActivation::sigmoid;
    value = part.forward(input);
  }
  check(value.dim() == 0, "a scalar");
  return {value};
}

std::vector<at::Tensor> run_feature_loss(FeatureLoss& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const Memory memory = make_memory(frames, numbers);
  const Targets targets = make_targets(frames, numbers);
  const at::Tensor value =
      part.forward({memory, targets, context, [](const at::Tensor& x) { return x; }});
  check(value.dim() == 0, "a scalar");
  return {value};
}

std::vector<at::Tensor> run_linker(Linker& part, int64_t frames, Numbers& numbers) {
  WindowTracks before;
  before.embeddings = numbers.normal({kQueries, kDim});
  before.class_probabilities = numbers.uniform({kQueries, kCategories});
  before.mask_logits = numbers.normal({kQueries, frames, 16, 24});
  WindowTracks next = before;  // the same tracks in reverse order must be found again
  next.embeddings = before.embeddings.flip(0);
  next.class_probabilities = before.class_probabilities.flip(0);
  next.mask_logits = before.mask_logits.flip(0);
  auto check_linked = [&](int64_t overlap, const std::string& what) {
    check(at::equal(part.link(before, next, overlap), at::arange(kQueries).flip(0)),
          "tracks in reverse order to be joined in reverse order " + what);
  };
  check_linked(frames, "where windows share all frames");
  const int64_t needed = part.needed_overlap();
  check(needed >= 0 && needed <= frames,
        "needed_overlap() of 0 to " + std::to_string(frames) + " frames");
  next.first_frame = frames - needed;
  next.mask_logits = at::cat({next.mask_logits.narrow(1, frames - needed, needed),
                              numbers.normal({kQueries, frames - needed, 16, 24})},
                             1);
  check_linked(needed, "where windows share needed_overlap() frames");
  next.first_frame = 0;
  next.mask_logits = before.mask_logits.flip(0);
  return {part.cost(before, next, frames)};
}

std::vector<at::Tensor> run_auxiliary(Auxiliary& part, int64_t frames, Numbers& numbers) {
  const ForwardContext context;
  const ClipBatch batch = make_batch(frames, numbers);
  const FeaturePyramid pyramid = make_pyramid(frames, numbers);
  const Memory memory = make_levels(frames, numbers);
  const Predictions predictions{{make_prediction(frames, numbers)}};
  const Targets targets = make_targets(frames, numbers);
  const Matches matches = make_matches(targets);
  const AuxiliaryInput input{batch, pyramid, memory, predictions, targets, matches};
  std::vector<at::Tensor> outputs;
  for (const auto& losses : {part.model_losses(input, context), part.own_losses(input, context)})
    for (const NamedLoss& loss : losses) outputs.push_back(loss.value);
  return outputs;
}

}  // namespace

BuildContext Harness::context(const std::string& kind) const {
  BuildContext context;
  context.clip = {frames_, kCategories};
  if (kind == Backbone::kKind) return context;
  context.pyramid = pyramid_spec();
  context.memory = {kDim, {32}, 0, 0};
  if (kind == Auxiliary::kKind)
    context.memory.strides.assign(kAuxiliaryStrides.begin(), kAuxiliaryStrides.end());
  context.queries = {kQueries, kDim, 2, true};
  context.attention.dim = kDim;
  context.attention.strides = {32};
  return context;
}

std::vector<at::Tensor> Harness::run(Part& part, at::ScalarType type) const {
  Numbers numbers(type);
  if (auto* p = dynamic_cast<Backbone*>(&part)) return run_backbone(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Attention*>(&part)) return run_attention(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Encoder*>(&part)) return run_encoder(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Decoder*>(&part)) return run_decoder(*p, frames_, numbers);
  if (auto* p = dynamic_cast<InstanceHead*>(&part)) return run_instance_head(*p, frames_, numbers);
  if (auto* p = dynamic_cast<MaskHead*>(&part)) return run_mask_head(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Matcher*>(&part)) return run_matcher(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Loss*>(&part)) return run_loss(*p, frames_, numbers);
  if (auto* p = dynamic_cast<FeatureLoss*>(&part)) return run_feature_loss(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Linker*>(&part)) return run_linker(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Auxiliary*>(&part)) return run_auxiliary(*p, frames_, numbers);
  if (auto* p = dynamic_cast<Augmentation*>(&part)) return run_augmentation(*p, frames_);
  if (auto* p = dynamic_cast<Sampler*>(&part)) return run_sampler(*p, frames_);
  throw PluginError("contract: expected a part of a known kind, got another.");
}

}  // namespace tessera::contract
