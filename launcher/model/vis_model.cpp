#include "launcher/model/vis_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <regex>
#include <set>

#include "core/error.h"
#include "core/nn/precision.h"
#include "core/nn/recompute.h"
#include "core/structures/pieces.h"
#include "launcher/model/autocast.h"
#include "launcher/model/part_scope.h"

namespace tessera {
namespace {

template <class Struct>
std::vector<at::Tensor*> tensors_in(Struct& structure) {
  std::vector<at::Tensor*> tensors;
  for_each_tensor(structure, [&](at::Tensor& tensor, Leading) { tensors.push_back(&tensor); });
  return tensors;
}

/// What losses, linkers and auxiliary networks see is float32, whatever it was computed in.
template <class Struct>
void to_float32(Struct& structure) {
  for (at::Tensor* tensor : tensors_in(structure)) *tensor = to_full_precision(*tensor);
}

/// Parts under a name of their own.
using NamedParts = torch::nn::Module;

/// The first stage stands in `[model]` itself.
StageOptions stage_options(const ModelOptions& options, size_t index) {
  if (index > 0) return options.stages.at(index - 1);
  return {kSegmenter, options.decoder, options.instance_head, options.mask_head};
}

void require_no_gradients(torch::nn::Module& part) {
  for (at::Tensor& parameter : part.parameters()) parameter.requires_grad_(false);
}

}  // namespace

VisModel::VisModel(const ModelOptions& options, const ClipFacts& clip)
    : frames_apart_(options.frames_apart()) {
  facts_.clip = clip;
  backbone_ = register_module("backbone", facts_.make(options.backbone));
  facts_.pyramid = backbone_->spec();
  joined_needs_.add(backbone_->needs(), "backbone", /*is_whole=*/true, clip.num_frames);
  BuildContext of_encoder = facts_;
  if (frames_apart_) of_encoder.clip.num_frames = 1;
  encoder_ = register_module("encoder", of_encoder.make(options.encoder));
  facts_.memory = encoder_->spec();
  joined_needs_.add(encoder_->needs(), "encoder", !frames_apart_, of_encoder.clip.num_frames);
  stages_.reserve(1 + options.stages.size());
  for (size_t i = 0; i <= options.stages.size(); ++i) add_stage(options, i);
  facts_ = stage_facts(stages_.size() - 1);
  facts_.clip = clip;
  needs_ = joined_needs_.joined();
  for (const auto& rule : options.names) rules_.emplace_back(rule.from, rule.to);
}

void VisModel::add_stage(const ModelOptions& options, size_t index) {
  const StageOptions own = stage_options(options, index);
  const bool is_first = index == 0;
  BuildContext built_for = facts_;
  for (const ModelStage& stage : stages_) built_for.earlier.push_back(stage.spec());
  const bool is_apart = is_first && frames_apart_;
  if (is_apart) built_for.clip.num_frames = 1;
  if (index == 1)
    further_stages_ = register_module("stages", std::make_shared<NamedParts>("stages"));
  torch::nn::Module* parent = this;
  if (!is_first)
    parent =
        further_stages_->register_module(own.name, std::make_shared<NamedParts>(own.name)).get();
  stages_.emplace_back(own, is_first ? "" : "stages." + own.name + ".", built_for, is_apart,
                       *parent);
  const ModelStage& stage = stages_.back();
  std::vector<const ModelStage*> earlier;
  for (size_t i = 0; i < index; ++i) earlier.push_back(&stages_[i]);
  expect_composable(stage, {options, *backbone_, *encoder_, facts_.clip.num_frames}, earlier);
  joined_needs_.add(stage.decoder().needs(), stage.prefix() + "decoder", !is_apart,
                    stage.decoder_frames());
  joined_needs_.add(stage.mask_head().needs(), stage.prefix() + "mask head",
                    stage.spec().piece_frames == 0, stage.head_frames());
}

BuildContext VisModel::stage_facts(size_t stage) const {
  BuildContext facts = facts_;
  facts.queries = stage_spec(stage);
  facts.earlier.clear();
  for (size_t i = 0; i < stage; ++i) facts.earlier.push_back(stage_spec(i));
  if (facts.queries.piece_frames > 0) facts.clip.num_frames = facts.queries.piece_frames;
  return facts;
}

bool VisModel::makes_masks_apart(size_t stage) const {
  return stage_spec(stage).piece_frames == 1 || stages_.at(stage).mask_head().frames_apart();
}

void VisModel::recompute_activations(const Recomputed& what) {
  const auto can_recompute = [](const ModelStage& stage) {
    return stage.decoder().recomputes_segments();
  };
  if (what.decoder && std::none_of(stages_.begin(), stages_.end(), can_recompute))
    throw ConfigError(
        "train.recompute: expected a decoder that recomputes its layers beside \"decoder\", got '" +
        stages_.back().options().decoder.name + "', which cannot. Remove \"decoder\".");
  recomputed_ = what;
}

void VisModel::freeze(const std::vector<std::string>& parts, bool evaluates) {
  std::vector<std::string> known{"backbone", "encoder"};
  for (const ModelStage& stage : stages_) known.push_back(stage.name());
  for (const std::string& part : parts)
    if (std::find(known.begin(), known.end(), part) == known.end())
      throw ConfigError("train.frozen_parts: expected parts of " + join(known) + ", got '" + part +
                        "'." + suggestion(part, known));
  for (const std::string& part : parts) {
    if (part == "backbone") {
      frozen_backbone_ = {true, evaluates};
      require_no_gradients(*backbone_);
    } else if (part == "encoder") {
      frozen_encoder_ = {true, evaluates};
      require_no_gradients(*encoder_);
    } else {
      for (ModelStage& stage : stages_)
        if (stage.name() == part) stage.freeze(evaluates);
    }
  }
  train(is_training());
}

void VisModel::train(bool on) {
  torch::nn::Module::train(on);
  if (frozen_backbone_.evaluates) backbone_->eval();
  if (frozen_encoder_.evaluates) encoder_->eval();
  for (const ModelStage& stage : stages_) stage.keep_mode();
}

FeaturePyramid VisModel::features(const ClipBatch& batch, const ForwardContext& context) {
  const AutocastScope autocast(context.autocast, batch.frames.device());
  FeaturePyramid pyramid = run_backbone(batch, context);
  pyramid.padding_mask = batch.padding_mask;
  return pyramid;
}

// Profilers, MacCounter and PartTimes see each part under its name.
FeaturePyramid VisModel::run_backbone(const ClipBatch& batch, const ForwardContext& context) {
  const PartScope part("backbone");
  ForwardContext own = context;
  own.recompute = recomputed_.backbone && !frozen_backbone_.is_frozen && at::GradMode::is_enabled();
  if (!own.recompute || backbone_->recomputes_segments()) return backbone_->forward(batch, own);
  // The second run comes when batch and context are gone.
  const ForwardContext again = context.unobserved();
  return recompute<FeaturePyramid>(
      *backbone_, {batch.frames},
      [backbone = backbone_, batch, again](const std::vector<at::Tensor>& given) {
        ClipBatch same = batch;
        same.frames = given.at(0);
        return backbone->forward(same, again);
      },
      tensors_in<FeaturePyramid>);
}

Memory VisModel::run_encoder(const FeaturePyramid& pyramid, const ForwardContext& context) {
  const PartScope part("encoder");
  ForwardContext own = context;
  own.recompute = recomputed_.encoder && !frozen_encoder_.is_frozen && at::GradMode::is_enabled();
  if (!own.recompute || encoder_->recomputes_segments()) return encoder_->forward(pyramid, own);
  const ForwardContext again = context.unobserved();
  FeaturePyramid rest = pyramid;
  std::vector<at::Tensor> inputs;
  std::vector<size_t> places;  // of the inputs, which backward would otherwise keep twice
  const auto tensors = tensors_in(rest);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i]->defined() || !tensors[i]->is_floating_point()) continue;
    inputs.push_back(std::exchange(*tensors[i], {}));
    places.push_back(i);
  }
  return recompute<Memory>(
      *encoder_, inputs,
      [encoder = encoder_, rest, places, again](const std::vector<at::Tensor>& given) {
        FeaturePyramid same = rest;
        const auto all = tensors_in(same);
        for (size_t i = 0; i < given.size(); ++i) *all[places[i]] = given[i];
        return encoder->forward(same, again);
      },
      tensors_in<Memory>);
}

VisModel::Output VisModel::forward(const ClipBatch& batch, const ForwardContext& context) {
  return predict(features(batch, context), context);
}

Memory VisModel::encode(const FeaturePyramid& pyramid, const ForwardContext& context) {
  const at::Tensor& finest = pyramid.levels.front().features;
  const AutocastScope autocast(context.autocast, finest.device());
  if (!frames_apart_) return run_encoder(pyramid, context);
  return frames_joined(run_encoder(in_pieces(pyramid, 1), context), finest.size(1));
}

StageRun VisModel::run_stage(size_t stage, const FeaturePyramid& pyramid, const Memory& memory,
                             const std::vector<const StageOutput*>& earlier,
                             const VideoState* state, const ForwardContext& context,
                             bool with_masks) {
  return stages_.at(stage).run(pyramid, memory, earlier, state, context, recomputed_, with_masks);
}

LayerPrediction VisModel::predict_last(size_t stage, const FeaturePyramid& pyramid,
                                       const Memory& memory, InstanceLayer layer,
                                       const ForwardContext& context) {
  return stages_.at(stage).predict_last(pyramid, memory, std::move(layer), context);
}

VisModel::Output VisModel::predict(FeaturePyramid pyramid, const ForwardContext& context,
                                   const std::vector<VideoState>* states) {
  Output output;
  output.pyramid = std::move(pyramid);
  {
    const AutocastScope autocast(context.autocast, output.pyramid.levels.front().features.device());
    output.memory = encode(output.pyramid, context);
    output.stages.reserve(stages_.size());
    for (size_t i = 0; i < stages_.size(); ++i) {
      std::vector<const StageOutput*> earlier;
      for (const StageOutput& stage : output.stages) earlier.push_back(&stage);
      const VideoState* state = states ? &states->at(i) : nullptr;
      StageRun run = run_stage(i, output.pyramid, output.memory, earlier, state, context);
      output.stages.push_back(std::move(run.output));
      output.states.push_back(std::move(run.state));
    }
  }
  to_float32(output.pyramid);
  to_float32(output.memory);
  return output;
}

std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> VisModel::parts() const {
  std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>> parts{
      {"backbone", backbone_}, {"encoder", encoder_}};
  for (const ModelStage& stage : stages_) {
    const auto own = stage.parts();
    parts.insert(parts.end(), own.begin(), own.end());
  }
  return parts;
}

std::vector<NamedTensor> VisModel::named_tensors(NameStyle style) const {
  std::vector<std::pair<std::regex, std::string>> rules;
  if (style == NameStyle::kCanonical)
    for (const auto& [from, to] : rules_) rules.emplace_back(std::regex(from), to);
  std::vector<NamedTensor> tensors;
  std::set<std::string> names;
  std::set<const void*> seen;
  auto add = [&](const std::string& structural, const at::Tensor& tensor, bool is_parameter) {
    if (!seen.insert(tensor.unsafeGetTensorImpl()).second) return;
    std::string name = structural;
    for (const auto& [from, to] : rules) name = std::regex_replace(name, from, to);
    if (!names.insert(name).second)
      throw ConfigError("model.names: expected a name of its own for every tensor, got '" + name +
                        "' twice, again for '" + structural + "'.");
    tensors.push_back({name, tensor, is_parameter});
  };
  for (const auto& item : named_parameters()) add(item.key(), item.value(), true);
  for (const auto& item : named_buffers()) add(item.key(), item.value(), false);
  return tensors;
}

}  // namespace tessera
