// Cases of a video in windows: what the model says of each window, stored or computed, is linked
// and merged into tracks by what VideoInference uses.

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/interfaces/build_context.h"
#include "core/trackers/linked.h"
#include "launcher/data/frame_tensor.h"
#include "launcher/experiment.h"
#include "launcher/inference/mean_masks.h"
#include "launcher/inference/track_scores.h"
#include "launcher/inference/windows.h"
#include "launcher/parity/model_case.h"
#include "launcher/parity/sources.h"
#include "launcher/weights/load_weights.h"

namespace tessera::parity {
namespace {

/// What the model says of a window.
struct Prediction {
  at::Tensor logits;  // [Q,C]
  at::Tensor masks;   // [Q,T,h,w]
};

std::vector<Prediction> stored_predictions(const Case& c) {
  std::vector<Prediction> windows;
  for (int64_t i = 0; i < c.input("pred_logits").size(0); ++i)
    windows.push_back({c.input("pred_logits")[i], c.input("pred_masks")[i]});
  return windows;
}

std::vector<Prediction> predictions(const Case& c, const Experiment& experiment,
                                    const std::vector<Window>& windows) {
  const at::NoGradGuard no_grad;
  VisModel model(experiment.model, experiment.clip_facts());
  model.eval();
  load_weights(model.named_tensors(), generated_weights(c).tensors, c.folder.string(),
               experiment.weights);
  std::vector<Prediction> all;
  for (const Window& window : windows) {
    const at::Tensor frames = c.input("frames").narrow(0, window.start, window.length);
    ClipMeta meta;
    meta.height = frames.size(2);
    meta.width = frames.size(3);
    const ClipBatch batch = data::batch_frames({frames}, {meta}, model.needs().size_divisor);
    const VisModel::Output output = model.forward(batch, {});
    const LayerPrediction& last = output.last().predictions.last();
    all.push_back(
        {last.classes.logits[0], last.masks->logits(0, at::arange(last.classes.logits.size(-2)))});
  }
  return all;
}

ClassLogits classes_of(const at::Tensor& logits) {
  return {logits.unsqueeze(0).unsqueeze(0), ClassScope::frame, ClassActivation::softmax_no_object,
          0};
}

PluginOf<Linker> without_threshold(const Case& c, const Table& table, Registry& registry) {
  std::vector<std::string> overrides = overrides_of(c, table);
  overrides.push_back("inference.linker.minimum_iou=0.0");
  return load_experiment(table.experiment, overrides, registry).inference.linker;
}

/// int64 also where there is nothing.
at::Tensor numbers(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

}  // namespace

bool is_window_case(const Case& c) {
  return c.outputs.contains("window.0.track");
}

std::vector<Comparison> check_window_case(const Case& c, const Table& table, Registry& registry) {
  Experiment experiment = load_experiment(table.experiment, overrides_of(c, table), registry);
  InferenceOptions& options = experiment.inference;
  const auto config = [&](const char* key) { return c.config.at(key).get<int64_t>(); };
  const int64_t length = config("num_frames"), num_frames = config("video_frames");
  const std::vector<Window> windows =
      windows_of(num_frames, length, length - config("clip_stride"));
  const std::vector<Prediction> said = c.inputs.contains("pred_logits")
                                           ? stored_predictions(c)
                                           : predictions(c, experiment, windows);
  if (said.size() != windows.size())
    throw DataError(c.folder.string() + ": expected predictions of " +
                    std::to_string(windows.size()) + " windows, got " +
                    std::to_string(said.size()) + ".");
  const auto linker = BuildContext().make(options.linker);
  // Its costs are those that are stored, small ones included.
  const auto plain_linker = BuildContext().make(without_threshold(c, table, registry));
  InferenceOptions every_pair = options;
  every_pair.score_threshold = -1;
  const int64_t classes = said[0].logits.size(1) - 1;
  const auto tracker = LinkedTracker(linker).begin();
  TrackScores scores(options, classes), all_scores(every_pair, classes);
  MeanMasks means;
  TrackHistory history;
  std::map<std::string, Sources> variants;
  Sources& sources = variants[""];
  for (size_t i = 0; i < windows.size(); ++i) {
    const std::string name = "window." + std::to_string(i) + ".";
    sources[name + "frames"] =
        at::arange(windows[i].start, windows[i].start + windows[i].length, at::kLong);
    sources[name + "logits"] = said[i].logits;
    sources[name + "masks"] = said[i].masks;
    ClassLogits kept = classes_of(said[i].logits);
    const at::Tensor queries = kept_queries(kept, options.keep);
    kept.logits = kept.logits.index_select(2, queries);
    WindowTracks rows;
    rows.first_frame = windows[i].start;
    rows.class_probabilities = category_probabilities(kept, classes)[0][0];
    rows.mask_logits = said[i].masks.index_select(0, queries);
    if (i > 0) sources[name + "siou"] = 1 - plain_linker->history_cost(history, rows);
    TrackerInput window;
    window.rows = rows;
    window.num_frames = windows[i].length;
    window.overlap = length;
    const TrackUpdate update = tracker->update(window);
    const std::vector<int64_t>& tracks = update.track_of_row;
    for (const int64_t track : tracks) history.num_tracks = std::max(history.num_tracks, track + 1);
    history.windows.push_back({rows, numbers(tracks)});
    at::Tensor track_of_query = at::full({said[i].logits.size(0)}, -1, at::kLong);
    sources[name + "track"] = track_of_query.index_put_({queries}, numbers(tracks));
    scores.add(kept, update);
    all_scores.add(kept, update);
    for (int64_t t = 0; t < windows[i].length; ++t)
      means.add(windows[i].start + t, tracks, rows.mask_logits.select(1, t),
                at::ones({queries.size(0)}, at::kDouble));
  }
  at::Tensor masks = at::zeros(
      {history.num_tracks, num_frames, c.config["output_size"][0], c.config["output_size"][1]},
      at::kByte);
  const FrameGeometry whole{1, 1, 1, 1, masks.size(2), masks.size(3)};
  for (const auto& [frame, mean] : means.take(num_frames))
    masks.select(1, frame).index_put_(
        {numbers(mean.tracks)},
        (resize_mask_logits(mean.logits.unsqueeze(1), whole).squeeze(1) > 0).to(at::kByte));
  sources["tracks.masks"] = masks;

  at::Tensor probabilities = at::zeros({history.num_tracks, classes + 1}, at::kDouble);
  for (const ScoredTrack& pair : all_scores.finish())
    probabilities[pair.id][pair.category] = pair.score;
  probabilities.select(1, classes).copy_(1 - probabilities.narrow(1, 0, classes).sum(1));
  sources["tracks.probabilities"] = probabilities;
  std::vector<ScoredTrack> found = scores.finish();
  std::sort(found.begin(), found.end(), [](const ScoredTrack& a, const ScoredTrack& b) {
    return std::pair(a.id, a.category) < std::pair(b.id, b.category);
  });
  std::vector<int64_t> ids, categories;
  std::vector<double> values;
  for (const ScoredTrack& track : found) {
    ids.push_back(track.id);
    categories.push_back(track.category);
    values.push_back(track.score);
  }
  sources["tracks.rows"] = numbers(ids);
  sources["tracks.category"] = numbers(categories);
  sources["tracks.score"] = at::tensor(values, at::kDouble);
  return compare_outputs(c, table, variants);
}

}  // namespace tessera::parity
