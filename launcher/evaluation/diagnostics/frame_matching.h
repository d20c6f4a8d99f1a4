#pragma once

#include <vector>

#include "launcher/evaluation/diagnostics/tracking_sequence.h"

namespace tessera::evaluation {

/// The prediction that a ground truth track is matched to in a frame.
struct FrameMatch {
  static constexpr size_t kNoPrediction = static_cast<size_t>(-1);

  bool is_present = false;  // the ground truth track has a pixel
  size_t prediction = kNoPrediction;
  double iou = 0;

  bool is_matched() const { return prediction != kNoPrediction; }
};

/// Matches frame by frame at an IoU of 0.5 as CLEAR MOT does (Bernardin and Stiefelhagen 2008): a
/// track keeps the prediction that it was last matched to where that still reaches it; the others
/// are assigned one to one, most pairs first, then the largest sum of IoUs.
/// out: [truths][frames].
std::vector<std::vector<FrameMatch>> match_frames(const TrackingSequence& sequence);

}  // namespace tessera::evaluation
