#include "launcher/inference/seen_rows.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "launcher/inference/stage_outputs.h"
#include "launcher/inference/track_scores.h"

namespace tessera {
namespace {

size_t stage_of(const VisModel& model, const std::string& name) {
  std::vector<std::string> names;
  for (size_t stage = 0; stage < model.num_stages(); ++stage) {
    names.push_back(model.stage_name(stage));
    if (names.back() == name) return stage;
  }
  throw ConfigError("inference.scores: expected the name of a stage of the model, got '" + name +
                    "'." + suggestion(name, names));
}

/// The vector of each query for the window: of the clip, or the mean over its frames.
at::Tensor embeddings_of(const InstanceLayer& layer, int64_t clip, int64_t first, int64_t count) {
  return layer.frame.defined() ? layer.frame[clip].narrow(0, first, count).mean(0)
                               : layer.clip[clip];
}

/// in: classes [1,T,Q',C] of an earlier stage, rows [T,Q] or undefined. out: [1,T,Q,C].
ClassLogits reordered(ClassLogits classes, const at::Tensor& rows) {
  if (!rows.defined()) return classes;
  const int64_t channels = classes.logits.size(-1);
  const at::Tensor index = rows.unsqueeze(0).unsqueeze(-1).expand({-1, -1, -1, channels});
  classes.logits = classes.logits.gather(2, index.to(classes.logits.device()));
  return classes;
}

ClassLogits some_rows(ClassLogits classes, const at::Tensor& rows) {
  if (rows.size(0) < classes.logits.size(2)) classes.logits = classes.logits.index_select(2, rows);
  return classes;
}

}  // namespace

at::Tensor RowMasks::logits_of(const at::Tensor& index) const {
  return logits.defined() ? logits.index_select(0, index)
                          : source->logits(clip, queries.index_select(0, index));
}

ClassLogits some_frames(ClassLogits classes, int64_t first, int64_t count) {
  classes.logits = classes.logits.narrow(1, first, count);
  return classes;
}

std::vector<ClassLogits> SeenRows::scored() const {
  return scores.empty() ? std::vector<ClassLogits>{classes} : scores;
}

RowReader::RowReader(const VisModel& model, const VideoOptions& options)
    : options_(options),
      piece_frames_(first_whole_video_stage(model) < model.num_stages()
                        ? 0
                        : model.stage_spec(model.num_stages() - 1).piece_frames) {
  for (const StageScore& score : options.inference.scores)
    scored_stages_.push_back(stage_of(model, score.stage));
}

RowReader::Classes RowReader::classes_of(const std::vector<StageOutput>& stages, int64_t clip,
                                         int64_t num_frames) const {
  Classes classes;
  classes.last = frame_classes(stages.back(), clip, num_frames);
  for (const size_t stage : scored_stages_)
    classes.scores.push_back(reordered(frame_classes(stages[stage], clip, num_frames),
                                       rows_in_stage(stages, stage, clip)));
  return classes;
}

SeenRows RowReader::rows_of(const StageOutput& last, const Classes& classes, int64_t clip,
                            const Window& window, int64_t first) const {
  SeenRows seen;
  seen.window = window;
  seen.classes = some_frames(classes.last, first, window.length);
  seen.num_queries = seen.classes.logits.size(2);
  const at::Tensor queries = kept_queries(seen.classes, options_.inference.keep);
  seen.classes = some_rows(std::move(seen.classes), queries);
  for (const ClassLogits& scores : classes.scores)
    seen.scores.push_back(some_rows(some_frames(scores, first, window.length), queries));
  TrackerInput& tracker = seen.tracker;
  tracker.num_frames = window.length;
  tracker.rows.first_frame = window.start;
  tracker.rows.class_probabilities =
      category_probabilities(seen.classes, options_.num_categories).select(0, 0).mean(0);
  tracker.class_logits = seen.classes.logits.select(0, 0).mean(0);
  tracker.rows.embeddings = embeddings_of(last.embeddings.layers.back(), clip, first, window.length)
                                .index_select(0, queries);
  if (queries.size(0) < seen.num_queries) {
    const at::Tensor host = queries.to(at::kCPU);
    tracker.queries.assign(host.data_ptr<int64_t>(), host.data_ptr<int64_t>() + host.numel());
  }
  seen.masks.window = window;
  seen.masks.queries = queries;
  return seen;
}

std::vector<SeenRows> RowReader::read(const SeenWindows& seen, size_t window,
                                      bool wants_masks) const {
  const StageOutput& last = seen.stages.back();
  const auto clip = static_cast<int64_t>(window);
  const Window& whole = seen.windows.at(window);
  const Classes classes = classes_of(seen.stages, clip, seen.model_frames);
  const int64_t pieces = num_pieces(last, seen.model_frames);
  const LayerPrediction& prediction = last.predictions.last();
  std::vector<SeenRows> all;
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const int64_t length = pieces > 1 ? seen.model_frames / pieces : whole.length;
    SeenRows rows =
        rows_of(last, classes, clip, {whole.start + piece * length, length}, piece * length);
    rows.masks.source = prediction.masks;
    rows.masks.clip = clip * pieces + piece;
    rows.masks.finest_cells = seen.finest_cells;
    rows.masks.geometry = seen.geometry;
    if (prediction.identity.defined())
      rows.tracker.identity =
          prediction.identity[rows.masks.clip].index_select(0, rows.masks.queries);
    if (wants_masks) {
      rows.masks.logits =
          prediction.masks->logits(rows.masks.clip, rows.masks.queries).narrow(1, 0, length);
      rows.tracker.rows.mask_logits = rows.masks.logits.to(at::kCPU);
    }
    all.push_back(std::move(rows));
  }
  return all;
}

SeenRows RowReader::read_whole(const std::vector<StageOutput>& stages, const Window& window) const {
  const StageOutput& last = stages.back();
  SeenRows rows = rows_of(last, classes_of(stages, 0, window.length), 0, window, 0);
  const at::Tensor& identity = last.predictions.last().identity;
  if (identity.defined()) rows.tracker.identity = identity[0].index_select(0, rows.masks.queries);
  return rows;
}

}  // namespace tessera
