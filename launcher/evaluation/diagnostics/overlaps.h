#pragma once

#include <cstdint>
#include <vector>

#include "launcher/evaluation/diagnostics/video_tracks.h"

namespace tessera::evaluation {

/// The tracks of a video as numbers: with areas and common pixels of every frame no measure needs
/// the masks again, whichever frames it looks at.
class VideoOverlaps {
 public:
  struct Truth {
    size_t category = 0;
    bool is_crowd = false;
    double mean_stated_area = 0;  // square pixels
    double occlusion = 0;
    std::vector<uint32_t> areas;  // pixels by frame, 0 where absent
  };
  struct Prediction {
    size_t category = 0;
    double score = 0;
    std::vector<uint32_t> areas;
  };

  explicit VideoOverlaps(const VideoTracks& video);

  size_t num_frames() const { return num_frames_; }
  const std::vector<Truth>& truths() const { return truths_; }
  const std::vector<Prediction>& predictions() const { return predictions_; }

  /// Pixels that a prediction and a ground truth track of any category have in common.
  uint32_t with_prediction(size_t prediction, size_t truth, size_t frame) const {
    return with_prediction_[(prediction * truths_.size() + truth) * num_frames_ + frame];
  }
  /// The same of two ground truth tracks of one category.
  uint32_t with_truth(size_t a, size_t b, size_t frame) const {
    return with_truth_[(a * truths_.size() + b) * num_frames_ + frame];
  }

 private:
  size_t num_frames_ = 0;
  std::vector<Truth> truths_;
  std::vector<Prediction> predictions_;
  std::vector<uint32_t> with_prediction_;  // [predictions, truths, frames]
  std::vector<uint32_t> with_truth_;       // [truths, truths, frames]
};

/// Pixels common to two masks of one size, either of which may be absent.
uint32_t common_pixels(const std::optional<data::Rle>& a, const std::optional<data::Rle>& b);

}  // namespace tessera::evaluation
