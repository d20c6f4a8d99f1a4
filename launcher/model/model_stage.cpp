#include "launcher/model/model_stage.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/nn/precision.h"
#include "core/structures/pieces.h"
#include "launcher/model/autocast.h"
#include "launcher/model/part_scope.h"

namespace tessera {
namespace {

template <class Struct>
void leave_half_types(Struct& structure) {
  for_each_tensor(structure, [](at::Tensor& tensor, Leading /*leading*/) {
    tensor = to_full_precision(tensor);
  });
}

const at::Tensor& finest_of(const FeaturePyramid& pyramid) {
  return pyramid.levels.front().features;
}

/// The inverse of frames_joined() for one layer: what the decoder gave for frames apart.
InstanceLayer folded(InstanceLayer layer, bool per_frame) {
  layer = in_pieces(std::move(layer), 1);
  if (!per_frame) layer.clip = std::exchange(layer.frame, {}).squeeze(1);
  return layer;
}

}  // namespace

ModelStage::ModelStage(const StageOptions& options, std::string prefix, BuildContext built_for,
                       bool is_apart, torch::nn::Module& parent)
    : options_(options),
      name_(options.name),
      prefix_(std::move(prefix)),
      built_for_(std::move(built_for)),
      is_apart_(is_apart),
      decoder_(parent.register_module("decoder", built_for_.make(options.decoder))) {
  heads_.decoder = options.decoder.name;
  heads_.queries = decoder_->spec();
  BuildContext facts = built_for_;
  facts.queries = heads_.queries;
  if (heads_.queries.piece_frames > 0) facts.clip.num_frames = heads_.queries.piece_frames;
  if (heads_.queries.pixel_channels > 0) {
    facts.memory.pixel_channels = heads_.queries.pixel_channels;
    facts.memory.pixel_stride = heads_.queries.pixel_stride;
  }
  head_frames_ = facts.clip.num_frames;
  heads_.instance_head = parent.register_module("instance_head", facts.make(options.instance_head));
  heads_.mask_head = parent.register_module("mask_head", facts.make(options.mask_head));
  spec_ = heads_.queries;
  if (!is_apart_) return;
  spec_.per_frame = true;
  spec_.piece_frames = 1;
}

std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> ModelStage::parts() const {
  return {{prefix_ + "decoder", decoder_},
          {prefix_ + "instance_head", heads_.instance_head},
          {prefix_ + "mask_head", heads_.mask_head}};
}

std::shared_ptr<const ForwardContext> ModelStage::own_context(const ForwardContext& context) const {
  auto own = std::make_shared<ForwardContext>(context);
  own->prefix = context.prefix + prefix_;
  own->recompute = false;
  return own;
}

StageRun ModelStage::run(const FeaturePyramid& pyramid, const Memory& memory,
                         const std::vector<const StageOutput*>& earlier, const VideoState* state,
                         const ForwardContext& context, const Recomputed& recomputed,
                         bool with_masks) const {
  StageRun run;
  run.output.piece_frames = spec_.piece_frames;
  if (spec_.num_layers == 0) return run;
  const AutocastScope autocast(context.autocast, finest_of(pyramid).device());
  const auto own = own_context(context);
  if (!is_apart_) return run_on(pyramid, memory, earlier, state, own, recomputed, with_masks);
  run = run_on(in_pieces(pyramid, 1), in_pieces(memory, 1), earlier, state, own, recomputed,
               with_masks);
  run.output.embeddings =
      frames_joined(std::move(run.output.embeddings), finest_of(pyramid).size(1));
  return run;
}

StageRun ModelStage::run_on(const FeaturePyramid& pyramid, const Memory& memory,
                            const std::vector<const StageOutput*>& earlier, const VideoState* state,
                            const std::shared_ptr<const ForwardContext>& context,
                            const Recomputed& recomputed, bool with_masks) const {
  StageHeads heads = heads_;
  heads.recompute_masks = recomputed.masks && !is_frozen_;
  heads.mask_rows = recomputed.mask_rows;
  heads.predicts_masks = with_masks;
  HeadRunner runner(heads, pyramid, memory, context);
  DecoderOutput found;
  {
    const PartScope part(prefix_ + "decoder");
    ForwardContext own = *context;
    own.recompute = recomputed.decoder && !is_frozen_ && at::GradMode::is_enabled() &&
                    decoder_->recomputes_segments();
    found = decoder_->decode({pyramid, memory, runner, own, earlier, state});
  }
  expect_stated(found);
  StageRun run;
  run.output.piece_frames = std::min(spec_.piece_frames, finest_of(pyramid).size(1));
  for (size_t layer = 0; layer < found.embeddings.layers.size(); ++layer)
    run.output.predictions.layers.push_back(
        runner.predict(static_cast<int64_t>(layer), found.embeddings.layers[layer],
                       {.classes = true, .boxes = true, .masks = with_masks, .identity = true}));
  run.output.embeddings = std::move(found.embeddings);
  leave_half_types(run.output.embeddings);
  run.state = std::move(found.state);
  for (at::Tensor& tensor : run.state.tensors) tensor = to_full_precision(tensor);
  return run;
}

LayerPrediction ModelStage::predict_last(const FeaturePyramid& pyramid, const Memory& memory,
                                         InstanceLayer layer, const ForwardContext& context) const {
  const AutocastScope autocast(context.autocast, finest_of(pyramid).device());
  const auto own = own_context(context);
  const auto predict = [&](const FeaturePyramid& seen_pyramid, const Memory& seen_memory,
                           const InstanceLayer& seen) {
    HeadRunner runner(heads_, seen_pyramid, seen_memory, own);
    return runner.predict(spec_.num_layers - 1, seen,
                          {.classes = true, .boxes = true, .masks = true, .identity = true});
  };
  if (!is_apart_) return predict(pyramid, memory, layer);
  return predict(in_pieces(pyramid, 1), in_pieces(memory, 1),
                 folded(std::move(layer), heads_.queries.per_frame));
}

void ModelStage::expect_stated(const DecoderOutput& output) const {
  const auto fail = [this](const std::string& what) {
    throw PluginError(options_.decoder.source.text() + ": decoder '" + heads_.decoder +
                      "': expected " + what);
  };
  if (!spec_.keeps_state && !output.state.is_start())
    fail("no state, because its spec() does not state keeps_state, got one.");
  const auto& layers = output.embeddings.layers;
  const auto expected = static_cast<size_t>(output.embeddings.copies * spec_.num_layers);
  if (layers.size() != expected)
    fail(std::to_string(expected) + " layers (copies * num_layers of its spec()), got " +
         std::to_string(layers.size()) + ".");
  const InstanceLayer& last = layers.back();
  const auto expect_given = [&](bool is_stated, const at::Tensor& member, const std::string& name) {
    if (is_stated && !member.defined())
      fail("InstanceLayer::" + name + " in its last layer, as its spec() states, got none.");
  };
  expect_given(spec_.gives_raw, last.raw, "raw");
  expect_given(spec_.gives_anchor, last.anchor, "anchor");
  expect_given(spec_.gives_source, last.source, "source");
  expect_given(spec_.gives_rows, last.row_before, "row_before");
}

void ModelStage::freeze(bool evaluates) {
  is_frozen_ = true;
  evaluates_ = evaluates;
  for (const auto& [name, part] : parts())
    for (at::Tensor& parameter : part->parameters()) parameter.requires_grad_(false);
  keep_mode();
}

void ModelStage::keep_mode() const {
  if (!is_frozen_ || !evaluates_) return;
  for (const auto& [name, part] : parts()) part->eval();
}

}  // namespace tessera
