#include "launcher/evaluation/diagnostics/overlaps.h"

namespace tessera::evaluation {
namespace {

/// The first foreground pixel and the one after the last, in the order of the runs.
std::pair<uint64_t, uint64_t> extent(const data::Rle& rle) {
  uint64_t end = static_cast<uint64_t>(rle.height) * static_cast<uint64_t>(rle.width);
  if (rle.counts.size() % 2 == 1) end -= rle.counts.back();
  return {rle.counts.front(), end};
}

}  // namespace

uint32_t common_pixels(const std::optional<data::Rle>& a, const std::optional<data::Rle>& b) {
  if (!a || !b) return 0;
  // Runs go down the columns: masks side by side are known to be apart without a pass.
  const auto [a_first, a_end] = extent(*a);
  const auto [b_first, b_end] = extent(*b);
  if (a_end <= b_first || b_end <= a_first) return 0;
  return static_cast<uint32_t>(data::intersection_area(*a, *b));
}

VideoOverlaps::VideoOverlaps(const VideoTracks& video) : num_frames_(video.num_frames) {
  for (const TruthTrack& truth : video.truths) {
    truths_.push_back(
        {truth.category, truth.is_crowd, truth.mean_stated_area, truth.occlusion, truth.areas});
  }
  for (const PredictedTrack& track : video.predictions) {
    predictions_.push_back({track.category, track.score, track.areas});
  }
  const size_t num_truths = truths_.size();
  with_prediction_.resize(predictions_.size() * num_truths * num_frames_);
  auto pixels = with_prediction_.begin();
  for (const PredictedTrack& track : video.predictions) {
    for (const TruthTrack& truth : video.truths) {
      for (size_t t = 0; t < num_frames_; ++t) {
        *pixels++ = common_pixels((*track.masks)[t], (*truth.masks)[t]);
      }
    }
  }
  with_truth_.resize(num_truths * num_truths * num_frames_);
  for (size_t a = 0; a < num_truths; ++a) {
    for (size_t b = 0; b <= a; ++b) {
      if (truths_[a].category != truths_[b].category) continue;
      for (size_t t = 0; t < num_frames_; ++t) {
        const uint32_t common =
            common_pixels((*video.truths[a].masks)[t], (*video.truths[b].masks)[t]);
        with_truth_[(a * num_truths + b) * num_frames_ + t] = common;
        with_truth_[(b * num_truths + a) * num_frames_ + t] = common;
      }
    }
  }
}

}  // namespace tessera::evaluation
