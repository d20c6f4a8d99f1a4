#include "launcher/parity/model_case.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <algorithm>
#include <regex>
#include <set>

#include "core/error.h"
#include "launcher/experiment.h"
#include "launcher/inference/select_tracks.h"
#include "launcher/parity/view.h"
#include "launcher/weights/load_weights.h"

namespace tessera::parity {
namespace {

namespace fs = std::filesystem;

std::string with_value(std::string text, const std::string& value) {
  for (size_t at = text.find("$value"); at != std::string::npos;
       at = text.find("$value", at + value.size()))
    text.replace(at, 6, value);
  return text;
}

/// A file that goes with its object.
struct TemporaryFile {
  fs::path path =
      fs::temp_directory_path() / ("tessera-parity-" + std::to_string(getpid()) + ".safetensors");
  ~TemporaryFile() {
    std::error_code ignored;  // nothing to do about a file that cannot be removed
    fs::remove(path, ignored);
  }
};

const at::Tensor& input(const Case& c, const std::string& name) {
  const auto it = c.inputs.find(name);
  if (it == c.inputs.end())
    throw DataError(c.folder.string() + "/inputs.safetensors: expected the tensor '" + name +
                    "', got none.");
  return it->second;
}

ClipBatch batch_of(const Case& c) {
  const at::Tensor frames = input(c, "frames");  // [T,3,H,W]
  ClipBatch batch;
  batch.frames = frames.unsqueeze(0);
  batch.padding_mask =
      c.inputs.contains("padding_mask")
          ? input(c, "padding_mask").to(at::kBool).unsqueeze(0)
          : at::zeros({1, frames.size(0), frames.size(2), frames.size(3)}, at::kBool);
  batch.meta.resize(1);
  batch.meta[0].height = frames.size(2);
  batch.meta[0].width = frames.size(3);
  return batch;
}

// The reference stores targets instance-major: row = instance * T + frame; a label in each frame.
Targets targets_of(const Case& c, int64_t frames, int64_t label_offset) {
  ClipTargets target;
  target.boxes = input(c, "target.boxes").unflatten(0, {-1, frames});
  target.valid = input(c, "target.valid").unflatten(0, {-1, frames}).to(at::kBool);
  target.masks = input(c, "target.masks").unflatten(0, {-1, frames}).to(at::kBool);
  // An absent frame has label 0, so the largest is the instance's.
  target.labels =
      std::get<0>(input(c, "target.labels").to(at::kLong).unflatten(0, {-1, frames}).max(1)) -
      label_offset;
  target.height = target.masks.size(2);
  target.width = target.masks.size(3);
  return {target};
}

/// Everything that a tensor rule may name, filled as it is computed.
using Sources = std::map<std::string, at::Tensor>;

void add_predictions(const Predictions& predictions, Sources& sources) {
  const int64_t last = static_cast<int64_t>(predictions.layers.size()) - 1;
  for (int64_t i = 0; i <= last; ++i) {
    const LayerPrediction& layer = predictions.layers[i];
    for (const std::string& name :
         {"layer." + std::to_string(i), std::string(i == last ? "layer.last" : "")}) {
      if (name.empty()) continue;
      sources[name + ".class_logits"] = layer.classes.logits;
      sources[name + ".boxes"] = layer.boxes;
    }
  }
  const LayerPrediction& layer = predictions.last();
  sources["layer.last.masks"] =
      layer.masks->logits(0, at::arange(layer.boxes.size(2)));  // [Q,T,h,w]
}

void add_tracks(const Case& c, const Experiment& experiment, const ClipBatch& batch,
                Sources& sources) {
  const at::Tensor logits = sources.at("layer.last.class_logits");
  ClassLogits classes{logits, ClassScope::frame, ClassActivation::softmax_no_object, 0};
  at::Tensor probabilities = classes.probabilities().select(0, 0);  // [T,Q,K] or [Q,K]
  if (probabilities.dim() == 2)
    probabilities = probabilities.unsqueeze(0).expand({batch.frames.size(1), -1, -1});
  const SelectedTracks tracks = experiment.inference.select == "slot"
                                    ? select_slots(probabilities)
                                    : select_top_k(probabilities, experiment.inference.top_k);
  sources["tracks.score"] = tracks.score;
  sources["tracks.category"] = tracks.category;
  sources["tracks.frame_score"] = tracks.frame_score;
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

/// Computes the loss under an experiment's `[loss]`, and its gradients where wanted.
void add_losses(const Experiment& experiment, const VisModel& model, const VisModel::Output& output,
                const Targets& targets, const ForwardContext& context, bool gradients,
                Sources& sources) {
  const Predictions& predictions = output.predictions;
  Criterion criterion(experiment.loss, model.facts());
  criterion.eval();
  const CriterionResult result = criterion.forward(output.memory, predictions, targets, context);
  for (const NamedLoss& term : result.terms) sources["loss." + term.name] = term.value;
  sources["loss.total"] = result.total;
  const int64_t last = static_cast<int64_t>(result.matches.size()) - 1;
  for (int64_t i = 0; i <= last; ++i) {
    const int64_t queries = predictions.last().boxes.size(2),
                  frames = predictions.last().boxes.size(1);
    add_matches("match." + std::to_string(i), result.matches[i][0], queries, frames, sources);
    if (i == last) add_matches("match.last", result.matches[i][0], queries, frames, sources);
  }
  if (!gradients) return;
  result.total.backward();
  for (const NamedTensor& named : model.named_tensors())
    if (named.tensor.grad().defined()) sources["gradient." + named.name] = named.tensor.grad();
}

Comparison compare_stored(const Case& c, const Table& table, const std::string& name,
                          const at::Tensor& expected,
                          const std::map<std::string, Sources>& variants) {
  Comparison failed;
  failed.name = name;
  for (const TensorRule& rule : table.tensor) {
    std::smatch groups;
    if (!std::regex_match(name, groups, std::regex(rule.name))) continue;
    const std::string from = groups.format(rule.from);
    const Sources& sources = variants.at(rule.variant);
    const auto source = sources.find(from);
    if (source == sources.end()) {
      failed.problem = "expected the source '" + from + "', which this model does not give";
      return failed;
    }
    ToleranceRules tolerance;
    tolerance.rounding = c.rounding(name);
    if (name.starts_with("grad.")) tolerance.share_of_scale = 1e-3;
    if (rule.compare == "pixels")
      tolerance.pixels =
          c.config["post_size"][0].get<int64_t>() * c.config["post_size"][1].get<int64_t>();
    return compare(name, apply_view(source->second.detach(), rule.view), expected, tolerance);
  }
  failed.problem = "no rule of the table names this tensor";
  return failed;
}

}  // namespace

std::vector<std::string> overrides_of(const Case& c, const Table& table) {
  std::vector<std::string> overrides = table.set;
  if (c.inputs.contains("target.boxes"))
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
  {
    TemporaryFile weights;
    generate_weights(c, weights.path);
    load_weights(model, weights.path, experiment.weights);
  }
  model.to(type);

  Sources sources;
  ForwardContext context;
  context.probe = [&](const std::string& name, const at::Tensor& value) {
    sources.try_emplace("probe." + name, value.detach());
  };
  ClipBatch batch = batch_of(c);
  batch.frames = batch.frames.to(type);
  const bool with_loss = c.inputs.contains("target.boxes");
  at::AutoGradMode gradients(with_loss);
  const VisModel::Output output = model.forward(batch, context);
  add_predictions(output.predictions, sources);
  if (c.config.contains("post_size")) add_tracks(c, experiment, batch, sources);

  std::map<std::string, Sources> variants;
  if (with_loss) {
    const Targets targets =
        targets_of(c, batch.frames.size(1), output.predictions.last().classes.label_offset);
    for (const Variant& variant : table.variant) {
      std::vector<std::string> changed = overrides;
      changed.insert(changed.end(), variant.set.begin(), variant.set.end());
      add_losses(load_experiment(table.experiment, changed, registry), model, output, targets,
                 context, false, variants[variant.name]);
    }
    add_losses(experiment, model, output, targets, context, true, sources);
  }
  variants[""] = std::move(sources);

  std::vector<Comparison> comparisons;
  for (const auto& [name, expected] : c.outputs)
    comparisons.push_back(compare_stored(c, table, name, expected, variants));
  return comparisons;
}

// A gradient that is wrong by little, as one sample on the wrong side of a kink makes it.
bool may_be_undecided(const Comparison& comparison) {
  constexpr double kMost = 20;  // times the tolerance: 2 % of the scale
  return !comparison.passed && comparison.problem.empty() && comparison.name.starts_with("grad.") &&
         comparison.difference <= kMost * comparison.tolerance;
}

}  // namespace

std::vector<Comparison> check_model_case(const Case& c, const Table& table, Registry& registry,
                                         at::ScalarType type) {
  std::vector<Comparison> comparisons = compare_model(c, table, registry, type);
  if (type == at::kDouble || std::none_of(comparisons.begin(), comparisons.end(), may_be_undecided))
    return comparisons;
  // Bilinear sampling has a kink at every pixel: where a sample lies within float32's rounding of
  // one, its slope is a coin toss between two right answers. In float64 it is decided.
  const std::vector<Comparison> precise = compare_model(c, table, registry, at::kDouble);
  for (size_t i = 0; i < comparisons.size(); ++i) {
    if (!may_be_undecided(comparisons[i]) || !precise[i].passed) continue;
    comparisons[i] = precise[i];
    comparisons[i].in_double = true;
  }
  return comparisons;
}

}  // namespace tessera::parity
