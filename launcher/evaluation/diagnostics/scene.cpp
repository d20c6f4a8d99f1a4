#include "launcher/evaluation/diagnostics/scene.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

namespace tessera::evaluation {
namespace {

uint64_t common(const Scene& scene, const MaskSource& source, size_t truth, size_t frame) {
  switch (source.kind) {
    case MaskSource::Kind::kPrediction:
      return scene.overlaps->with_prediction(source.index, truth, frame);
    case MaskSource::Kind::kTruth:
      return scene.overlaps->with_truth(source.index, truth, frame);
    case MaskSource::Kind::kNone:
      break;
  }
  return 0;
}

int64_t num_frames_with_pixels(const Scene& scene, const Scene::Prediction& prediction,
                               FrameSpan span) {
  int64_t count = 0;
  for (size_t t = span.first; t < span.end; ++t) {
    if (area(scene, prediction.sources[t], t) > 0) ++count;
  }
  return count;
}

int64_t num_frames_with_pixels(const VideoOverlaps::Truth& truth, FrameSpan span) {
  const auto begin = truth.areas.begin();
  return std::count_if(begin + static_cast<ptrdiff_t>(span.first),
                       begin + static_cast<ptrdiff_t>(span.end),
                       [](uint32_t pixels) { return pixels > 0; });
}

}  // namespace

Scene scene_of(const VideoOverlaps& overlaps) {
  Scene scene;
  scene.overlaps = &overlaps;
  scene.is_left_out.resize(overlaps.truths().size(), false);
  for (size_t d = 0; d < overlaps.predictions().size(); ++d) {
    const VideoOverlaps::Prediction& track = overlaps.predictions()[d];
    const MaskSource own{MaskSource::Kind::kPrediction, static_cast<uint32_t>(d)};
    scene.predictions.push_back(
        {track.category, track.score, std::vector<MaskSource>(overlaps.num_frames(), own)});
  }
  return scene;
}

uint64_t area(const Scene& scene, const MaskSource& source, size_t frame) {
  switch (source.kind) {
    case MaskSource::Kind::kPrediction:
      return scene.overlaps->predictions()[source.index].areas[frame];
    case MaskSource::Kind::kTruth:
      return scene.overlaps->truths()[source.index].areas[frame];
    case MaskSource::Kind::kNone:
      break;
  }
  return 0;
}

double iou(const Scene& scene, size_t prediction, size_t truth, FrameSpan span) {
  uint64_t intersection_sum = 0;
  uint64_t area_sum = 0;
  for (size_t t = span.first; t < span.end; ++t) {
    const MaskSource& source = scene.predictions[prediction].sources[t];
    intersection_sum += common(scene, source, truth, t);
    area_sum += area(scene, source, t) + scene.overlaps->truths()[truth].areas[t];
  }
  if (area_sum == 0) return 0;
  return static_cast<double>(intersection_sum) / static_cast<double>(area_sum - intersection_sum);
}

double frame_iou(const Scene& scene, size_t prediction, size_t truth, size_t frame) {
  return iou(scene, prediction, truth, {frame, frame + 1});
}

std::vector<SceneCell> cells_of(const Scene& scene) {
  std::map<size_t, SceneCell> cells;
  for (size_t d = 0; d < scene.predictions.size(); ++d) {
    cells[scene.predictions[d].category].predictions.push_back(d);
  }
  for (size_t g = 0; g < scene.is_left_out.size(); ++g) {
    if (!scene.is_left_out[g]) cells[scene.overlaps->truths()[g].category].truths.push_back(g);
  }
  std::vector<SceneCell> list;
  for (auto& [category, cell] : cells) {
    cell.category = category;
    std::stable_sort(cell.predictions.begin(), cell.predictions.end(), [&](size_t a, size_t b) {
      return scene.predictions[a].score > scene.predictions[b].score;
    });
    if (cell.predictions.size() > kMaxDetections) cell.predictions.resize(kMaxDetections);
    list.push_back(std::move(cell));
  }
  return list;
}

CellMatches match_scene_cell(const Scene& scene, const SceneCell& cell, FrameSpan span,
                             bool without_empty, const std::vector<Range>& ranges) {
  std::vector<GroundTruth> truths;
  std::vector<size_t> truth_indices;
  for (const size_t g : cell.truths) {
    const VideoOverlaps::Truth& truth = scene.overlaps->truths()[g];
    GroundTruth one;
    one.num_frames = num_frames_with_pixels(truth, span);
    if (without_empty && one.num_frames == 0) continue;
    one.mean_area = truth.mean_stated_area;
    one.is_crowd = truth.is_crowd;
    one.occlusion = truth.occlusion;
    truths.push_back(one);
    truth_indices.push_back(g);
  }
  std::vector<Prediction> predictions;
  Ious ious;
  for (const size_t d : cell.predictions) {
    Prediction one;
    one.num_frames = num_frames_with_pixels(scene, scene.predictions[d], span);
    if (without_empty && one.num_frames == 0) continue;
    one.score = scene.predictions[d].score;
    predictions.push_back(one);
    std::vector<double>& row = ious.emplace_back();
    for (const size_t g : truth_indices) row.push_back(iou(scene, d, g, span));
  }
  std::vector<const Prediction*> prediction_pointers;
  for (const Prediction& one : predictions) prediction_pointers.push_back(&one);
  std::vector<const GroundTruth*> truth_pointers;
  for (const GroundTruth& one : truths) truth_pointers.push_back(&one);
  return match_ranked(prediction_pointers, truth_pointers, ious, ranges);
}

void PrecisionRecord::add(const CellMatches& cell, size_t range) {
  const RangeMatches& matches = cell.ranges[range];
  num_ground_truth += matches.num_ground_truth;
  for (size_t d = 0; d < cell.scores.size(); ++d) {
    entries.push_back({cell.scores[d], matches.matched[d], matches.ignored[d]});
  }
}

PrecisionRecord& PrecisionRecord::operator+=(const PrecisionRecord& other) {
  entries.insert(entries.end(), other.entries.begin(), other.entries.end());
  num_ground_truth += other.num_ground_truth;
  return *this;
}

Precision precision_of(PrecisionRecord record) {
  const Curve curve = accumulate(std::move(record.entries), record.num_ground_truth);
  if (!curve.is_defined) return {};
  const double sum = std::accumulate(curve.mean_precision.begin(), curve.mean_precision.end(), 0.);
  return {sum / kNumThresholds, curve.mean_precision.front()};
}

}  // namespace tessera::evaluation
