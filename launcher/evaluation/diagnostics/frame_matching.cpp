#include "launcher/evaluation/diagnostics/frame_matching.h"

#include "core/matching/minimum_cost.h"

namespace tessera::evaluation {
namespace {

// Each is worth more than anything of the next in a frame of up to a thousand tracks.
constexpr double kWorthOfIdentity = 1e7;
constexpr double kWorthOfMatch = 1e3;

}  // namespace

std::vector<std::vector<FrameMatch>> match_frames(const TrackingSequence& sequence) {
  std::vector<std::vector<FrameMatch>> matches(sequence.num_truths,
                                               std::vector<FrameMatch>(sequence.frames.size()));
  std::vector<size_t> last(sequence.num_truths, FrameMatch::kNoPrediction);
  for (size_t t = 0; t < sequence.frames.size(); ++t) {
    const TrackingFrame& frame = sequence.frames[t];
    std::vector<double> cost;
    for (size_t i = 0; i < frame.truths.size(); ++i) {
      matches[frame.truths[i]][t].is_present = true;
      for (size_t j = 0; j < frame.predictions.size(); ++j) {
        const double iou = frame.iou(i, j);
        const bool is_same = last[frame.truths[i]] == frame.predictions[j];
        cost.push_back(
            iou < kTrackingIou ? 0 : -iou - kWorthOfMatch - (is_same ? kWorthOfIdentity : 0));
      }
    }
    for (const auto& [i, j] :
         assign_minimum_cost(cost.data(), static_cast<int64_t>(frame.truths.size()),
                             static_cast<int64_t>(frame.predictions.size()))) {
      const double iou = frame.iou(static_cast<size_t>(i), static_cast<size_t>(j));
      if (iou < kTrackingIou) continue;
      FrameMatch& match = matches[frame.truths[static_cast<size_t>(i)]][t];
      match.prediction = frame.predictions[static_cast<size_t>(j)];
      match.iou = iou;
      last[frame.truths[static_cast<size_t>(i)]] = match.prediction;
    }
  }
  return matches;
}

}  // namespace tessera::evaluation
