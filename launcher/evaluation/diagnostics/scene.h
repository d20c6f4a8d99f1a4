#pragma once

#include <cstdint>
#include <vector>

#include "launcher/evaluation/accumulate.h"
#include "launcher/evaluation/diagnostics/measure.h"
#include "launcher/evaluation/matching.h"

namespace tessera::evaluation {

/// Where the mask of a prediction in a frame is from: as predicted, or exchanged by a repair.
struct MaskSource {
  enum class Kind : uint8_t { kNone, kPrediction, kTruth };
  Kind kind = Kind::kNone;
  uint32_t index = 0;  // of the prediction or ground truth track

  bool operator==(const MaskSource&) const = default;
};

/// Predictions of a video that can be changed without touching a mask.
struct Scene {
  struct Prediction {
    size_t category = 0;
    double score = 0;
    std::vector<MaskSource> sources;  // by frame
  };

  const VideoOverlaps* overlaps = nullptr;
  std::vector<Prediction> predictions;
  std::vector<bool> is_left_out;  // by ground truth track
};

/// Frames [first, end).
struct FrameSpan {
  size_t first = 0;
  size_t end = 0;
};

/// The video as it was predicted.
Scene scene_of(const VideoOverlaps& overlaps);

/// Pixels of a prediction in a frame.
uint64_t area(const Scene& scene, const MaskSource& source, size_t frame);
/// Intersection over union of a prediction and a ground truth track over some frames; 0 if neither
/// has a pixel.
double iou(const Scene& scene, size_t prediction, size_t truth, FrameSpan span);
double frame_iou(const Scene& scene, size_t prediction, size_t truth, size_t frame);

/// The predictions and ground truth of one category, as indices into the scene.
struct SceneCell {
  size_t category = 0;
  std::vector<size_t> predictions;  // by falling score, at most kMaxDetections
  std::vector<size_t> truths;       // in the order of the file; those left out are not in here
};

/// The cells with any track, by ascending category.
std::vector<SceneCell> cells_of(const Scene& scene);

/// Matches a cell over some frames. `without_empty` leaves out tracks that have no pixel there.
CellMatches match_scene_cell(const Scene& scene, const SceneCell& cell, FrameSpan span,
                             bool without_empty, const std::vector<Range>& ranges);

/// Average precision and what it is made from.
struct PrecisionRecord {
  std::vector<RankedEntry> entries;
  int64_t num_ground_truth = 0;

  void add(const CellMatches& cell, size_t range);
  PrecisionRecord& operator+=(const PrecisionRecord& other);
};

struct Precision {
  double ap = kUndefined;
  double ap50 = kUndefined;
};

Precision precision_of(PrecisionRecord record);

}  // namespace tessera::evaluation
