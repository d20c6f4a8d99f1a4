#include <ATen/ATen.h>

#include "core/config/toml_reader.h"
#include "core/error.h"
#include "core/interfaces/build_context.h"
#include "core/trackers/linked.h"
#include "launcher/inference/track_scores.h"
#include "launcher/parity/model_case.h"

namespace tessera::parity {
namespace {

const at::Tensor& stored(const Case& c, const std::string& name) {
  const auto it = c.inputs.find(name);
  if (it == c.inputs.end())
    throw DataError(c.folder.string() + "/inputs.safetensors: expected the tensor '" + name +
                    "', got none.");
  return it->second;
}

std::array<int64_t, 2> size_of(const Case& c, const std::string& name) {
  if (!c.config.contains(name))
    throw DataError(c.folder.string() + "/case.json: expected config." + name + ", got none.");
  return c.config[name].get<std::array<int64_t, 2>>();
}

std::shared_ptr<const Linker> embedding_linker(Registry& registry) {
  PluginOf<Linker> choice("embedding");
  ReadContext reading(&registry);
  config_detail::read_plugin(choice, Linker::kKind, ConfigNode(), Linker::kKind, reading);
  reading.throw_if_failed();
  return BuildContext().make(choice);
}

/// Everything that a tracking case may store, by its names.
std::map<std::string, at::Tensor> track(const Case& c, Registry& registry) {
  const at::Tensor embeddings = stored(c, "pred_embds")[0].permute({1, 2, 0});  // [T,Q,D]
  const at::Tensor logits = stored(c, "pred_logits")[0];                        // [T,Q,C]
  const at::Tensor masks = stored(c, "pred_masks")[0];                          // [Q,T,h,w]
  const int64_t frames = logits.size(0), queries = logits.size(1);

  InferenceOptions options;
  options.select = "top_k";
  options.top_k = c.config.at("topk");
  options.average = "logits";
  const auto linker = embedding_linker(registry);
  const auto tracker = LinkedTracker(linker).begin();
  TrackScores scores(options, logits.size(2) - 1);
  std::map<std::string, at::Tensor> ours;
  at::Tensor indices = at::empty({frames, queries}, at::kLong);  // slot -> query
  for (int64_t t = 0; t < frames; ++t) {
    WindowTracks now;
    now.first_frame = t;
    now.embeddings = embeddings[t];
    ClassLogits classes;
    classes.logits = logits.narrow(0, t, 1).unsqueeze(0);  // [1,1,Q,C]
    classes.scope = ClassScope::frame;
    now.class_probabilities = category_probabilities(classes, logits.size(2) - 1)[0][0];
    if (t > 0) {
      WindowTracks before = now;  // the frame before in the order of its slots
      before.embeddings = embeddings[t - 1].index_select(0, indices[t - 1]);
      ours["cost." + std::to_string(t)] = linker->cost(before, now, 0);
    }
    TrackerInput window;
    window.rows = now;
    window.num_frames = 1;
    const TrackUpdate update = tracker->update(window);
    for (int64_t row = 0; row < queries; ++row) indices[t][update.track_of_row[row]] = row;
    scores.add(classes, update);
  }
  std::vector<at::Tensor> ordered_logits, ordered_masks;
  for (int64_t t = 0; t < frames; ++t) {
    ordered_logits.push_back(logits[t].index_select(0, indices[t]));
    ordered_masks.push_back(masks.select(1, t).index_select(0, indices[t]));
  }
  const at::Tensor stacked = at::stack(ordered_logits);
  ours["indices"] = indices;
  ours["fused_logits"] = (sum_frames(stacked, stacked).classes.front() / frames).unsqueeze(0);
  const at::Tensor tracked = at::stack(ordered_masks, 1);  // [Q,T,h,w]
  ours["tracked_masks"] = tracked.unsqueeze(0);

  std::vector<int64_t> labels, chosen;
  std::vector<double> values;
  for (const ScoredTrack& found : scores.finish()) {
    chosen.push_back(found.id);
    labels.push_back(found.category);
    values.push_back(found.score);
  }
  ours["queries"] = at::tensor(chosen);
  ours["labels"] = at::tensor(labels);
  ours["scores"] = at::tensor(values, at::kDouble);
  const auto padded = size_of(c, "padded_size"), image = size_of(c, "image_size"),
             original = size_of(c, "output_size");
  ours["masks"] =
      resize_mask_logits(tracked.index_select(0, ours["queries"]),
                         {padded[0], padded[1], image[0], image[1], original[0], original[1]}) > 0;
  return ours;
}

/// Thresholded masks: up to 1e-4 of the pixels may lie on the other side.
Comparison compare_masks(const std::string& name, const at::Tensor& ours,
                         const at::Tensor& expected) {
  Comparison result;
  result.name = name;
  if (ours.sizes() != expected.sizes()) {
    result.problem = "expected another shape";
    return result;
  }
  result.difference = (ours != expected.to(at::kBool)).sum().item<double>();
  result.tolerance = 1e-4 * static_cast<double>(expected.numel());
  result.passed = result.difference <= result.tolerance;
  return result;
}

}  // namespace

bool is_tracking_case(const Case& c) {
  return c.inputs.contains("pred_embds");
}

std::vector<Comparison> check_tracking_case(const Case& c, Registry& registry) {
  const auto ours = track(c, registry);
  std::vector<Comparison> comparisons;
  for (const auto& [name, expected] : c.outputs) {
    const auto found = ours.find(name);
    if (found == ours.end()) {
      Comparison failed;
      failed.name = name;
      failed.problem = "expected a tensor of a tracking case";
      comparisons.push_back(failed);
    } else if (name == "masks") {
      comparisons.push_back(compare_masks(name, found->second, expected));
    } else {
      ToleranceRules tolerance;
      tolerance.rounding = c.rounding(name);
      comparisons.push_back(compare(name, found->second, expected, tolerance));
    }
  }
  return comparisons;
}

}  // namespace tessera::parity
