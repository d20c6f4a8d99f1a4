#include "launcher/model/vis_model.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>

#include <numeric>
#include <regex>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/nn/precision.h"
#include "core/nn/recompute.h"
#include "launcher/model/autocast.h"
#include "launcher/model/recomputed_masks.h"
#include "launcher/model/recorded_masks.h"

namespace tessera {
namespace {

/// Runs the heads for a decoder, and keeps what it asked for, layer by layer.
class HeadRunner final : public InstancePredictor {
 public:
  HeadRunner(InstanceHead& instance_head, MaskHead& mask_head, const PreparedMasks& prepared,
             int64_t num_frames, at::Device device, const ForwardContext& context)
      : instance_head_(instance_head),
        mask_head_(mask_head),
        prepared_(prepared),
        num_frames_(num_frames),
        device_(device),
        context_(context) {}

  LayerPrediction predict(int64_t layer, const InstanceLayer& embeddings,
                          PredictionWant want) override {
    LayerPrediction& kept = kept_[layer];
    const bool needs_boxes = want.boxes || (want.masks && mask_head_.wants_boxes());
    const PredictionWant missing{want.classes && !kept.classes.logits.defined(),
                                 needs_boxes && !kept.boxes.defined(), want.masks && !kept.masks};
    if (missing.classes || missing.boxes) {
      RECORD_USER_SCOPE("instance_head");
      LayerPrediction fresh =
          instance_head_.forward(layer, embeddings, num_frames_, missing, context_);
      if (missing.classes) {
        kept.classes = std::move(fresh.classes);
        kept.classes.logits = to_full_precision(kept.classes.logits);
      }
      if (missing.boxes) kept.boxes = to_full_precision(fresh.boxes);
    }
    if (missing.masks) {
      RECORD_USER_SCOPE("mask_head");
      kept.masks = recorded(in_full_precision(prepared_.masks(layer, embeddings, kept.boxes),
                                              context_.autocast, device_));
    }
    return kept;
  }

 private:
  InstanceHead& instance_head_;
  MaskHead& mask_head_;
  const PreparedMasks& prepared_;
  int64_t num_frames_;
  at::Device device_;
  const ForwardContext& context_;
  std::map<int64_t, LayerPrediction> kept_;
};

void join_needs(ClipNeeds& joined, const ClipNeeds& needs, const std::string& part) {
  if (needs.fixed_frames > 0 && joined.fixed_frames > 0 &&
      needs.fixed_frames != joined.fixed_frames)
    throw ConfigError("model: expected parts that work for one clip length, got " +
                      std::to_string(joined.fixed_frames) + " and, from the " + part + ", " +
                      std::to_string(needs.fixed_frames) + " frames.");
  joined.fixed_frames = std::max(joined.fixed_frames, needs.fixed_frames);
  joined.size_divisor = std::lcm(joined.size_divisor, needs.size_divisor);
  joined.uses_padding_mask = joined.uses_padding_mask || needs.uses_padding_mask;
}

/// What losses, linkers and auxiliary networks see is float32, whatever it was computed in.
void leave_autocast(VisModel::Output& output) {
  for (FeatureLevel& level : output.pyramid.levels)
    level.features = to_full_precision(level.features);
  Memory& memory = output.memory;
  for (at::Tensor* tensor :
       {&memory.tokens, &memory.valid_ratio, &memory.position, &memory.pixel_features})
    *tensor = to_full_precision(*tensor);
  for (InstanceLayer& layer : output.embeddings.layers)
    for (at::Tensor* tensor : {&layer.clip, &layer.frame, &layer.references})
      *tensor = to_full_precision(*tensor);
}

}  // namespace

void NameRule::describe(Schema<NameRule>& schema) {
  schema
      .field("from", &NameRule::from,
             "Regular expression on a tensor's name in the composed model.")
      .required();
  schema.field("to", &NameRule::to, "What replaces the match ($1 is the first group).").required();
  schema.validate([](const NameRule& rule) {
    try {
      std::regex check(rule.from);
    } catch (const std::regex_error& error) {
      throw ConfigError("from: expected a regular expression, got '" + rule.from + "' (" +
                        error.what() + ").");
    }
  });
}

void ModelOptions::describe(Schema<ModelOptions>& schema) {
  schema.field("backbone", &ModelOptions::backbone, "Frames to feature pyramid.").required();
  schema.field("encoder", &ModelOptions::encoder, "Feature pyramid to memory.").required();
  schema
      .field("decoder", &ModelOptions::decoder, "Memory and object queries to instance embeddings.")
      .required();
  schema.field("instance_head", &ModelOptions::instance_head, "Embeddings to classes and boxes.")
      .required();
  schema.field("mask_head", &ModelOptions::mask_head, "Embeddings and features to masks.")
      .required();
  schema.field(
      "names", &ModelOptions::names,
      "Rules, applied in order, from the composed model's tensor names to those of weight files.");
}

VisModel::VisModel(const ModelOptions& options, const ClipFacts& clip) {
  facts_.clip = clip;
  backbone_ = register_module("backbone", facts_.make(options.backbone));
  facts_.pyramid = backbone_->spec();
  encoder_ = register_module("encoder", facts_.make(options.encoder));
  facts_.memory = encoder_->spec();
  decoder_ = register_module("decoder", facts_.make(options.decoder));
  facts_.queries = decoder_->spec();
  instance_head_ = register_module("instance_head", facts_.make(options.instance_head));
  mask_head_ = register_module("mask_head", facts_.make(options.mask_head));
  join_needs(needs_, backbone_->needs(), "backbone");
  join_needs(needs_, encoder_->needs(), "encoder");
  join_needs(needs_, decoder_->needs(), "decoder");
  join_needs(needs_, mask_head_->needs(), "mask head");
  for (const auto& rule : options.names) rules_.emplace_back(rule.from, rule.to);
}

Recomputed Recomputed::parts(const std::vector<std::string>& names, int64_t mask_rows) {
  Recomputed what;
  what.mask_rows = mask_rows;
  for (const std::string& name : names) {
    if (name == "backbone")
      what.backbone = true;
    else if (name == "encoder")
      what.encoder = true;
    else if (name == "masks")
      what.masks = true;
    else
      throw ConfigError("train.recompute: expected parts of backbone, encoder and masks, got '" +
                        name + "'." + suggestion(name, {"backbone", "encoder", "masks"}));
  }
  return what;
}

FeaturePyramid VisModel::features(const ClipBatch& batch, const ForwardContext& context) {
  const AutocastScope autocast(context.autocast, batch.frames.device());
  FeaturePyramid pyramid = run_backbone(batch, context);
  pyramid.padding_mask = batch.padding_mask;
  return pyramid;
}

// Profilers, MacCounter and PartTimes see each part under its name.
FeaturePyramid VisModel::run_backbone(const ClipBatch& batch, const ForwardContext& context) {
  RECORD_USER_SCOPE("backbone");
  ForwardContext own = context;
  own.recompute = recomputed_.backbone && at::GradMode::is_enabled();
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
      [](FeaturePyramid& pyramid) {
        std::vector<at::Tensor*> fields;
        for (FeatureLevel& level : pyramid.levels) fields.push_back(&level.features);
        return fields;
      });
}

Memory VisModel::run_encoder(const FeaturePyramid& pyramid, const ForwardContext& context) {
  RECORD_USER_SCOPE("encoder");
  ForwardContext own = context;
  own.recompute = recomputed_.encoder && at::GradMode::is_enabled();
  if (!own.recompute || encoder_->recomputes_segments()) return encoder_->forward(pyramid, own);
  const ForwardContext again = context.unobserved();
  std::vector<at::Tensor> features;
  FeaturePyramid rest = pyramid;  // all but the features, which backward would otherwise keep twice
  for (FeatureLevel& level : rest.levels) features.push_back(std::exchange(level.features, {}));
  return recompute<Memory>(
      *encoder_, features,
      [encoder = encoder_, rest, again](const std::vector<at::Tensor>& given) {
        FeaturePyramid same = rest;
        for (size_t i = 0; i < given.size(); ++i) same.levels[i].features = given[i];
        return encoder->forward(same, again);
      },
      [](Memory& memory) {
        return std::vector<at::Tensor*>{&memory.tokens, &memory.valid_ratio, &memory.position,
                                        &memory.pixel_features};
      });
}

VisModel::Output VisModel::forward(const ClipBatch& batch, const ForwardContext& context) {
  return predict(features(batch, context), context);
}

VisModel::Output VisModel::predict(FeaturePyramid pyramid, const ForwardContext& context) {
  Output output;
  output.pyramid = std::move(pyramid);
  const at::Tensor& finest = output.pyramid.levels.front().features;
  {
    const AutocastScope autocast(context.autocast, finest.device());
    output.memory = run_encoder(output.pyramid, context);
    // A model without decoder layers only trains features.
    if (facts_.queries.num_layers > 0) decode(output, finest.size(1), finest.device(), context);
  }
  leave_autocast(output);
  return output;
}

void VisModel::decode(Output& output, int64_t num_frames, at::Device device,
                      const ForwardContext& context) {
  std::shared_ptr<const PreparedMasks> prepared;
  {
    RECORD_USER_SCOPE("mask_head");
    prepared =
        recomputed_.masks && at::GradMode::is_enabled()
            ? recomputed(mask_head_, output.pyramid, output.memory, context, recomputed_.mask_rows)
            : mask_head_->prepare(output.pyramid, output.memory, context);
  }
  HeadRunner heads(*instance_head_, *mask_head_, *prepared, num_frames, device, context);
  {
    RECORD_USER_SCOPE("decoder");
    output.embeddings = decoder_->forward(output.memory, heads, context);
  }
  for (size_t layer = 0; layer < output.embeddings.layers.size(); ++layer)
    output.predictions.layers.push_back(
        heads.predict(static_cast<int64_t>(layer), output.embeddings.layers[layer],
                      {.classes = true, .boxes = true, .masks = true}));
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
