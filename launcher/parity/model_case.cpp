#include "launcher/parity/model_case.h"
#include "launcher/model/criterion_stages.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <regex>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/interfaces/attention.h"
#include "core/nn/points.h"
#include "launcher/data/frame_tensor.h"
#include "launcher/experiment.h"
#include "launcher/inference/select_tracks.h"
#include "launcher/parity/sources.h"
#include "launcher/weights/model_weights.h"

namespace tessera::parity {
namespace {

std::string with_value(std::string text, const std::string& value) {
  for (size_t at = text.find("$value"); at != std::string::npos;
       at = text.find("$value", at + value.size()))
    text.replace(at, 6, value);
  return text;
}

/// Clips stored one by one, `frames.<b>` [T,3,h,w], each of its own size.
ClipBatch batch_of_clips(const Case& c, int64_t size_divisor) {
  std::vector<at::Tensor> clips;
  std::vector<ClipMeta> meta;
  for (size_t clip = 0; c.inputs.contains("frames." + std::to_string(clip)); ++clip) {
    clips.push_back(c.input("frames." + std::to_string(clip)));
    meta.emplace_back();
    meta.back().height = clips.back().size(2);
    meta.back().width = clips.back().size(3);
  }
  return data::batch_frames(clips, std::move(meta), size_divisor);
}

/// The case's frames [B*T,3,H,W] as clips, padded as the model needs it.
ClipBatch batch_of(const Case& c, const Table& table, int64_t size_divisor) {
  if (!c.inputs.contains("frames")) return batch_of_clips(c, size_divisor);
  const at::Tensor frames = c.input("frames");
  const int64_t clips =
      c.config.contains(table.batch_key) ? c.config[table.batch_key].get<int64_t>() : 1;
  ClipMeta meta;
  meta.height = frames.size(2);
  meta.width = frames.size(3);
  ClipBatch batch = data::batch_frames(frames.unflatten(0, {clips, -1}).unbind(0),
                                       std::vector<ClipMeta>(clips, meta), size_divisor);
  if (c.inputs.contains("padding_mask"))
    batch.padding_mask = c.input("padding_mask").to(at::kBool).unflatten(0, {clips, -1});
  return batch;
}

// Targets stored clip by clip, instance-major: `target.<b>.masks` [N*T,H,W] of the unpadded frame,
// `.boxes` [N*T,4], `.labels` [N] as class indices; an instance is absent where its mask is empty.
ClipTargets targets_with_boxes(const Case& c, const std::string& prefix, const ClipBatch& batch,
                               int64_t label_offset) {
  const int64_t frames = batch.frames.size(1);
  ClipTargets target;
  target.labels = c.input(prefix + "labels").to(at::kLong) - label_offset;
  const at::Tensor masks = c.input(prefix + "masks").unflatten(0, {-1, frames}).to(at::kBool);
  target.valid = masks.flatten(2).any(2);
  target.boxes = c.input(prefix + "boxes").unflatten(0, {-1, frames}) * target.valid.unsqueeze(-1);
  target.height = masks.size(2);
  target.width = masks.size(3);
  target.masks = at::constant_pad_nd(
      masks, {0, batch.frames.size(4) - target.width, 0, batch.frames.size(3) - target.height});
  return target;
}

// Targets stored clip by clip: `target.<b>.masks` [N,T,H,W] at the padded size or the clip's own,
// `.labels` [N], `.ids` [N,T], -1 where the instance is absent; or with boxes, see above.
Targets targets_by_clip(const Case& c, const ClipBatch& batch, int64_t label_offset) {
  const int64_t clips = batch.frames.size(0);
  Targets targets;
  for (int64_t clip = 0; clip < clips; ++clip) {
    const std::string prefix = "target." + std::to_string(clip) + ".";
    if (!c.inputs.contains(prefix + "ids")) {
      targets.push_back(targets_with_boxes(c, prefix, batch, label_offset));
      continue;
    }
    ClipTargets target;
    target.labels = c.input(prefix + "labels").to(at::kLong);
    target.masks = c.input(prefix + "masks").to(at::kBool);
    target.valid = c.input(prefix + "ids") >= 0;
    target.boxes = at::zeros({target.masks.size(0), target.masks.size(1), 4});
    target.height = target.masks.size(2);
    target.width = target.masks.size(3);
    target.masks = at::constant_pad_nd(target.masks, {0, batch.frames.size(4) - target.width, 0,
                                                      batch.frames.size(3) - target.height});
    targets.push_back(std::move(target));
  }
  return targets;
}

/// Whether the case has targets, and so losses.
bool has_targets(const Case& c) {
  return c.inputs.contains("target.boxes") || c.inputs.contains("target.0.masks");
}

/// Gives the case's recorded points.
class RecordedPoints final : public PointSource {
 public:
  RecordedPoints(const Case& c, const Table& table, int64_t num_layers)
      : case_(c),
        table_(table),
        last_(std::regex("^([a-z]+\\.)" + std::to_string(num_layers - 1) + "(?=\\.|$)")) {}

  at::Tensor uniform(const std::string& use, int64_t, int64_t) override {
    const std::string name = std::regex_replace(use, last_, "$1last");
    for (const PointRule& rule : table_.points) {
      std::smatch groups;
      if (!std::regex_match(name, groups, std::regex(rule.use))) continue;
      const at::Tensor points = case_.input(groups.format(rule.from));
      return points.dim() == 2 ? points.unsqueeze(0) : points;
    }
    throw ConfigError("parity table: expected a rule of [[points]] for '" + name + "', got none.");
  }

 private:
  const Case& case_;
  const Table& table_;
  std::regex last_;
};

// The reference stores targets instance-major: row = instance * T + frame; a label in each frame.
Targets targets_of(const Case& c, int64_t frames, int64_t label_offset) {
  ClipTargets target;
  target.boxes = c.input("target.boxes").unflatten(0, {-1, frames});
  target.valid = c.input("target.valid").unflatten(0, {-1, frames}).to(at::kBool);
  target.masks = c.input("target.masks").unflatten(0, {-1, frames}).to(at::kBool);
  // An absent frame has label 0, so the largest is the instance's.
  target.labels =
      std::get<0>(c.input("target.labels").to(at::kLong).unflatten(0, {-1, frames}).max(1)) -
      label_offset;
  target.height = target.masks.size(2);
  target.width = target.masks.size(3);
  return {target};
}

/// `layer.<i>.mask_logits` [B,Q,T,h,w], only where a rule for a stored tensor names it.
void add_mask_logits(const Case& c, const Table& table, const Predictions& predictions,
                     Sources& sources) {
  for (const auto& [name, expected] : c.outputs)
    for (const TensorRule& rule : table.tensor) {
      std::smatch groups;
      if (!std::regex_match(name, groups, std::regex(rule.name))) continue;
      const std::string from = groups.format(rule.from);
      std::smatch layer;
      static const std::regex kMasks("layer\\.(\\d+|last)\\.mask_logits");
      if (!std::regex_match(from, layer, kMasks) || sources.contains(from)) continue;
      const LayerPrediction& prediction =
          layer[1] == "last" ? predictions.last() : predictions.layers.at(std::stoul(layer[1]));
      const at::Tensor& logits = prediction.classes.logits;
      std::vector<at::Tensor> clips;
      for (int64_t clip = 0; clip < logits.size(0); ++clip)
        clips.push_back(prediction.masks->logits(clip, at::arange(logits.size(-2))));
      sources[from] = at::stack(clips);
    }
}

void add_predictions(const Predictions& predictions, Sources& sources) {
  const int64_t last = static_cast<int64_t>(predictions.layers.size()) - 1;
  for (int64_t i = 0; i <= last; ++i) {
    const LayerPrediction& layer = predictions.layers[i];
    for (const std::string& name :
         {"layer." + std::to_string(i), std::string(i == last ? "layer.last" : "")}) {
      if (name.empty()) continue;
      sources[name + ".class_logits"] = layer.classes.logits;
      if (layer.boxes.defined()) sources[name + ".boxes"] = layer.boxes;
    }
  }
  const LayerPrediction& layer = predictions.last();
  sources["layer.last.masks"] =
      layer.masks->logits(0, at::arange(layer.classes.logits.size(-2)));  // [Q,T,h,w]
}

void add_tracks(const Case& c, const Experiment& experiment, const ClipBatch& batch,
                Sources& sources) {
  const at::Tensor logits = sources.at("layer.last.class_logits");
  ClassLogits classes{logits, ClassScope::frame, ClassActivation::softmax_no_object, 0};
  at::Tensor probabilities = classes.probabilities().select(0, 0);  // [T,Q,K] or [Q,K]
  if (probabilities.dim() == 2)
    probabilities = probabilities.unsqueeze(0).expand({batch.frames.size(1), -1, -1});
  const bool slots = experiment.inference.select == "slot";
  const SelectedTracks tracks =
      slots ? select_slots(sum_frames(probabilities, probabilities))
            : select_top_k(probabilities.mean(0), experiment.inference.top_k);
  sources["tracks.score"] = tracks.score;
  sources["tracks.category"] = tracks.category;
  sources["tracks.frame_score"] =
      slots ? probabilities.amax(-1)  // [T,Q]
            : tracks.score.unsqueeze(0).expand({probabilities.size(0), -1});
  const int64_t height = c.config["post_size"][0], width = c.config["post_size"][1];
  // The reference's script resizes the whole padded map, so the unpadded part is the whole here.
  const FrameGeometry whole{batch.frames.size(3),
                            batch.frames.size(4),
                            batch.frames.size(3),
                            batch.frames.size(4),
                            height,
                            width};
  const at::Tensor masks =
      resize_mask_logits(sources.at("layer.last.masks").index_select(0, tracks.rows), whole);
  sources["tracks.mask_area"] =
      (masks.sigmoid() > experiment.inference.mask_threshold).sum({2, 3}).transpose(0, 1);  // [T,R]
}

/// `tracks.*` of the best (query, class) pairs, and of the first distinct queries among them.
void add_best_tracks(const Case& c, const Table& table, const Experiment& experiment,
                     const Predictions& predictions, Sources& sources) {
  const at::Tensor probabilities = predictions.last().classes.probabilities().select(0, 0);
  const SelectedTracks tracks = select_top_k(
      probabilities.dim() == 3 ? probabilities.mean(0) : probabilities, experiment.inference.top_k);
  sources["tracks.rows"] = tracks.rows;
  sources["tracks.category"] = tracks.category;
  sources["tracks.score"] = tracks.score;
  std::vector<int64_t> distinct;
  for (int64_t i = 0; i < tracks.rows.size(0); ++i)
    if (const auto row = tracks.rows[i].item<int64_t>();
        std::find(distinct.begin(), distinct.end(), row) == distinct.end())
      distinct.push_back(row);
  const auto stored = c.outputs.find(table.tracks);
  distinct.resize(std::min(distinct.size(), static_cast<size_t>(stored->second.size(0))));
  sources["tracks.distinct"] = at::tensor(distinct);
  const auto masks = c.outputs.find(table.masks);
  if (masks == c.outputs.end()) return;
  const at::Tensor logits = sources.at("layer.last.masks").index_select(0, at::tensor(distinct));
  const int64_t height = masks->second.size(2), width = masks->second.size(3);
  // Straight from the head's size to the video's.
  sources["tracks.distinct_masks"] =
      resize_mask_logits(logits, {1, 1, 1, 1, height, width}).sigmoid() >
      experiment.inference.mask_threshold;
}

/// `layer.<i>.matched_masks` [R,T,h,w] of all clips' pairs.
void add_matched_masks(const std::string& layer, const LayerPrediction& prediction,
                       const Matches& matches, Sources& sources) {
  std::vector<at::Tensor> clips;
  for (size_t clip = 0; clip < matches.size(); ++clip)
    clips.push_back(prediction.masks->logits(static_cast<int64_t>(clip), matches[clip].prediction));
  sources["layer." + layer + ".matched_masks"] = at::cat(clips);
}

void add_matches(const std::string& name, const ClipMatch& match, int64_t queries, int64_t frames,
                 Sources& sources) {
  sources[name + ".cost"] = match.cost;
  sources[name + ".prediction"] = match.prediction;
  sources[name + ".target"] = match.target;
  const at::Tensor where = match.valid.nonzero(), pair = where.select(1, 0),
                   frame = where.select(1, 1);
  sources[name + ".frame_prediction"] = frame * queries + match.prediction.index_select(0, pair);
  sources[name + ".frame_target"] = match.target.index_select(0, pair) * frames + frame;
}

/// Gradients of `loss` as `gradient.<name>`; leaves none behind, and the graph for the next loss.
void add_gradients(const VisModel& model, const at::Tensor& loss, Sources& sources) {
  loss.backward({}, /*retain_graph=*/true);
  for (NamedTensor& named : model.named_tensors())
    if (at::Tensor& gradient = named.tensor.mutable_grad(); gradient.defined())
      sources["gradient." + named.name] = std::exchange(gradient, at::Tensor());
}

/// `target.<b>.resized` [N,T,h,w]: the targets on cells of config.match_stride pixels.
void add_resized_targets(const Case& c, const Targets& targets, Sources& sources) {
  if (!c.config.contains("match_stride")) return;
  const auto stride = c.config["match_stride"].get<int64_t>();
  for (size_t clip = 0; clip < targets.size(); ++clip)
    sources["target." + std::to_string(clip) + ".resized"] =
        shrunk_masks(targets[clip].masks.to(at::kFloat), stride);
}

/// Gives `attention.<name>`, dense weights [B,G,M,Lq,keys], where a stored tensor's rule names it.
class AttentionSources final : public AttentionRecorder {
 public:
  AttentionSources(const Case& c, const Table& table, Sources& sources) : sources_(sources) {
    for (const auto& [name, expected] : c.outputs)
      for (const TensorRule& rule : table.tensor)
        if (std::smatch groups; std::regex_match(name, groups, std::regex(rule.name)))
          wanted_.insert(groups.format(rule.from));
  }
  bool wants(const std::string& name) const override { return wanted_.contains(source_of(name)); }
  // Keys are frame-major, the tokens without a place after each frame's cells. Cases have the cells
  // of all frames first.
  void record(const std::string& name, const AttentionInput& input,
              const AttentionSampling& sampling) override {
    const MemoryLevel& last = input.memory.levels.back();
    const int64_t frames = input.memory.num_frames(), tokens = input.memory.tokens.size(2);
    const int64_t cells = last.offset + last.height * last.width;
    at::Tensor weights = sampling.weights.detach();
    if (cells < tokens && weights.size(-1) == frames * tokens) {
      weights = weights.unflatten(-1, {frames, tokens});
      weights = at::cat({weights.narrow(-1, 0, cells).flatten(-2),
                         weights.narrow(-1, cells, tokens - cells).flatten(-2)},
                        -1);
    }
    sources_.try_emplace(source_of(name), weights);
  }

 private:
  static std::string source_of(const std::string& name) {
    std::string source = "attention.";
    return source.append(name);
  }
  Sources& sources_;
  std::set<std::string> wanted_;
};

/// Computes the loss under an experiment's `[loss]`, and its gradients where wanted.
void add_losses(const Experiment& experiment, const VisModel& model, const VisModel::Output& output,
                const Targets& targets, const ForwardContext& context, bool matched_masks,
                bool gradients, Sources& sources) {
  const Predictions& predictions = output.stages.front().predictions;
  Criterion criterion(experiment.loss, model.facts(), criterion_stages(model));
  criterion.eval();
  const CriterionResult result =
      criterion.forward({output.memory, output.stages, targets, context});
  for (const NamedLoss& term : result.terms) sources["loss." + term.name] = term.value;
  sources["loss.total"] = result.total;
  const int64_t last = static_cast<int64_t>(result.matches.size()) - 1;
  for (int64_t i = 0; i <= last; ++i) {
    const int64_t queries = predictions.last().classes.logits.size(-2),
                  frames = targets[0].valid.size(1);
    for (const std::string& name :
         {"match." + std::to_string(i), std::string(i == last ? "match.last" : "")}) {
      if (name.empty()) continue;
      if (matched_masks)
        add_matched_masks(name.substr(name.find('.') + 1), predictions.layers[i], result.matches[i],
                          sources);
      add_matches(name, result.matches[i][0], queries, frames, sources);
      for (size_t clip = 0; clip < targets.size(); ++clip)
        add_matches(name + "." + std::to_string(clip), result.matches[i][clip], queries, frames,
                    sources);
    }
  }
  if (gradients) add_gradients(model, result.total, sources);
}

}  // namespace

std::vector<std::string> overrides_of(const Case& c, const Table& table) {
  std::vector<std::string> overrides = table.set;
  if (has_targets(c))
    overrides.insert(overrides.end(), table.loss_set.begin(), table.loss_set.end());
  for (const auto& [key, value] : c.flat_config()) {
    bool known = false;
    for (const ConfigRule& rule : table.config) {
      std::smatch groups;
      if (!std::regex_match(key, groups, std::regex(rule.key))) continue;
      if (!rule.values.empty() &&
          std::find(rule.values.begin(), rule.values.end(), value) == rule.values.end())
        continue;
      known = true;
      for (const std::string& assignment : rule.set)
        overrides.push_back(with_value(groups.format(assignment), value));
      break;
    }
    if (!known)
      throw ConfigError((c.folder / "case.json").string() + ": config." + key +
                        ": expected a key and value that tests/parity/" + c.system +
                        ".toml names, got " + value + ".");
  }
  return overrides;
}

std::string case_toml(const Case& c, const Table& table, Registry& registry) {
  return resolved_toml(load_experiment(table.experiment, overrides_of(c, table), registry));
}

namespace {

std::vector<Comparison> compare_model(const Case& c, const Table& table, Registry& registry,
                                      at::ScalarType type) {
  const std::vector<std::string> overrides = overrides_of(c, table);
  const Experiment experiment = load_experiment(table.experiment, overrides, registry);
  VisModel model(experiment.model, experiment.clip_facts());
  model.eval();
  WeightFile weights;
  weights.format = "safetensors";
  weights.tensors = generated_weights(c).tensors;
  load_finished_weights(model, std::move(weights), c.folder.string(), experiment.weights);
  model.to(type);

  Sources sources;
  ForwardContext context;
  context.probe = [&](const std::string& name, const at::Tensor& value) {
    sources.try_emplace("probe." + name, value.detach());
  };
  AttentionSources attentions(c, table, sources);
  context.attention = &attentions;
  ClipBatch batch = batch_of(c, table, model.needs().size_divisor);
  batch.frames = batch.frames.to(type);
  const bool with_loss = has_targets(c);
  at::AutoGradMode gradients(with_loss);
  const VisModel::Output output = model.forward(batch, context);
  add_predictions(output.last().predictions, sources);
  add_mask_logits(c, table, output.last().predictions, sources);
  if (c.config.contains("post_size")) add_tracks(c, experiment, batch, sources);
  if (c.outputs.contains(table.tracks))
    add_best_tracks(c, table, experiment, output.last().predictions, sources);

  std::map<std::string, Sources> variants;
  if (with_loss) {
    const Targets targets =
        c.inputs.contains("target.boxes")
            ? targets_of(c, batch.frames.size(1),
                         output.last().predictions.last().classes.label_offset)
            : targets_by_clip(c, batch, output.last().predictions.last().classes.label_offset);
    add_resized_targets(c, targets, sources);
    RecordedPoints points(c, table, static_cast<int64_t>(output.last().predictions.layers.size()));
    if (!table.points.empty()) context.points = &points;
    for (const Variant& variant : table.variant) {
      std::vector<std::string> changed = overrides;
      changed.insert(changed.end(), variant.set.begin(), variant.set.end());
      add_losses(load_experiment(table.experiment, changed, registry), model, output, targets,
                 context, false, variant.gradients, variants[variant.name]);
    }
    const bool matched_masks = std::any_of(
        c.outputs.begin(), c.outputs.end(),
        [](const auto& stored) { return stored.first.find("matched_masks") != std::string::npos; });
    add_losses(experiment, model, output, targets, context, matched_masks, true, sources);
  }
  variants[""] = std::move(sources);

  return compare_outputs(c, table, variants);
}

// What float32 leaves open: a gradient that is wrong by little, as one sample on the wrong side of
// a kink makes it, and a value whose tolerance, four times a rounding that happened to be small, is
// less than float32 can resolve.
bool may_be_undecided(const Comparison& comparison) {
  constexpr double kMostOfGradient = 0.02;  // of the scale
  const double resolution = comparison.scale * std::numeric_limits<float>::epsilon();
  if (comparison.passed || !comparison.problem.empty()) return false;
  if (comparison.name.starts_with("grad."))
    return comparison.difference <= kMostOfGradient * comparison.scale;
  return comparison.tolerance < resolution && comparison.difference <= 4 * resolution;
}

}  // namespace

std::vector<Comparison> check_model_case(const Case& c, const Table& table, Registry& registry,
                                         at::ScalarType type) {
  if (is_window_case(c)) return check_window_case(c, table, registry);
  if (!c.inputs.contains("frames") && !c.inputs.contains("frames.0"))
    return check_inference_case(c, table, registry);
  std::vector<Comparison> comparisons = compare_model(c, table, registry, type);
  if (type == at::kDouble || std::none_of(comparisons.begin(), comparisons.end(), may_be_undecided))
    return comparisons;
  // Bilinear sampling has a kink at every pixel: where a sample lies within float32's rounding of
  // one, its slope is a coin toss between two right answers. In float64 it is decided, by the same
  // tolerance.
  const std::vector<Comparison> precise = compare_model(c, table, registry, at::kDouble);
  for (size_t i = 0; i < comparisons.size(); ++i) {
    if (!may_be_undecided(comparisons[i]) || !precise[i].passed) continue;
    comparisons[i] = precise[i];
    comparisons[i].in_double = true;
  }
  return comparisons;
}

}  // namespace tessera::parity
