#include "launcher/contract/inputs.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "core/error.h"
#include "core/interfaces/backbone.h"
#include "core/structures/shape.h"

namespace tessera::contract {

Numbers::Numbers(at::ScalarType type)
    : type_(type), generator_(at::make_generator<at::CPUGeneratorImpl>(7)) {}

at::Tensor Numbers::normal(at::IntArrayRef shape) {
  return at::randn(shape, generator_, at::kDouble).to(type_);
}

at::Tensor Numbers::uniform(at::IntArrayRef shape) {
  return at::rand(shape, generator_, at::kDouble).to(type_);
}

at::Tensor FixedMasks::logits(int64_t clip, const at::Tensor& rows) const {
  return logits_.select(0, clip).index_select(0, rows);
}

PyramidSpec pyramid_spec(bool with_tokens) {
  PyramidSpec spec;
  spec.levels = {{16, 4}, {24, 8}, {32, 16}, {40, 32}};
  if (with_tokens) {
    spec.levels.back().prefix = kPrefix;
    spec.has_rotation = true;
  }
  return spec;
}

QuerySpec stage_spec() {
  QuerySpec spec{kQueries, kDim, 2, /*per_frame=*/true};
  spec.gives_raw = spec.gives_anchor = spec.gives_source = spec.gives_rows = true;
  return spec;
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

void add_tokens(FeaturePyramid& pyramid, Memory& memory, Numbers& numbers) {
  FeatureLevel& coarsest = pyramid.levels.back();
  const int64_t frames = coarsest.features.size(1);
  const int64_t cells = coarsest.features.size(3) * coarsest.features.size(4);
  coarsest.prefix = numbers.normal({kClips, frames, kPrefix, coarsest.features.size(2)});
  const at::Tensor angles = numbers.uniform({cells, kRotationDim});
  pyramid.rotation = memory.rotation = at::stack({angles.cos(), angles.sin()}).to(at::kFloat);
  const auto append = [](at::Tensor& tensor, const at::Tensor& more) {
    tensor = at::cat({tensor, more}, 2);
  };
  append(memory.tokens, numbers.normal({kClips, frames, kPrefix, kDim}));
  append(memory.position, at::zeros({kClips, frames, kPrefix, kDim}, memory.position.options()));
  append(memory.padding_mask, at::zeros({kClips, frames, kPrefix}, at::kBool));
  memory.prefix = kPrefix;
}

InstanceLayer make_embeddings(int64_t frames, Numbers& numbers) {
  InstanceLayer layer;
  layer.frame = numbers.normal({kClips, frames, kQueries, kDim});
  layer.clip = layer.frame.mean(1);
  layer.references = numbers.uniform({kClips, frames, kQueries, 2});
  return layer;
}

LayerPrediction make_prediction(int64_t frames, Numbers& numbers, int64_t queries, int64_t clips) {
  LayerPrediction prediction;
  prediction.classes.logits =
      numbers.normal({clips, frames, queries, kCategories + 1}).set_requires_grad(true);
  prediction.classes.scope = ClassScope::frame;
  prediction.boxes = numbers.uniform({clips, frames, queries, 4}) * 0.5 + 0.2;
  prediction.masks = std::make_shared<FixedMasks>(numbers.normal({clips, queries, frames, 16, 24}));
  return prediction;
}

StageOutput make_stage(int64_t frames, Numbers& numbers) {
  StageOutput stage;
  for (int64_t i = 0; i < stage_spec().num_layers; ++i) {
    InstanceLayer layer = make_embeddings(frames, numbers);
    layer.raw = numbers.normal({kClips, frames, kQueries, kDim});
    layer.anchor = numbers.normal({kClips, frames, kQueries, kDim});
    layer.source = numbers.normal({kClips, frames, kQueries, kDim});
    layer.row_before = at::arange(kQueries).expand({kClips, frames, kQueries}).clone();
    stage.embeddings.layers.push_back(std::move(layer));
    LayerPrediction prediction = make_prediction(frames, numbers);
    prediction.identity = numbers.normal({kClips, kQueries, kDim});
    stage.predictions.layers.push_back(std::move(prediction));
  }
  return stage;
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

}  // namespace tessera::contract
