#pragma once

#include <cstddef>
#include <map>
#include <vector>

#include "launcher/evaluation/diagnostics/video_tracks.h"

namespace tessera::evaluation {

/// IoU in a frame at which a prediction is on a ground truth track, for all but HOTA.
inline constexpr double kTrackingIou = 0.5;

/// What is seen in one frame: tracks that have a pixel in it.
struct TrackingFrame {
  std::vector<size_t> truths;       // ids in [0, num_truths)
  std::vector<size_t> predictions;  // ids in [0, num_predictions)
  std::vector<double> ious;         // [truths, predictions]

  double iou(size_t truth_row, size_t prediction_column) const {
    return ious[truth_row * predictions.size() + prediction_column];
  }
};

/// One video and category as multi-object tracking sees it: tracks without scores, no two of which
/// share a pixel.
struct TrackingSequence {
  size_t num_truths = 0;
  size_t num_predictions = 0;
  std::vector<TrackingFrame> frames;
};

/// Makes tracks of scored results, which may overlap and have several labels: predictions of at
/// least `score_threshold`; of those with the same pixels in every frame only the surest; every
/// pixel to the surest track that claims it, whatever its category (equal scores: lower category,
/// then the order of the file). Crowds are no tracks; a predicted mask that lies in crowds of its
/// category by more than half, and on no track of it with an IoU of 0.5, is left out.
/// out: sequences of the categories with any track.
std::map<size_t, TrackingSequence> tracking_sequences(const VideoTracks& video,
                                                      double score_threshold);

}  // namespace tessera::evaluation
