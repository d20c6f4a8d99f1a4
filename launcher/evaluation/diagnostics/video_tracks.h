#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "launcher/data/ytvis.h"
#include "launcher/evaluation/prediction_source.h"
#include "launcher/evaluation/tracks.h"

namespace tessera::evaluation {

/// A ground truth track of a video.
struct TruthTrack {
  size_t category = 0;  // index by ascending id
  bool is_crowd = false;
  double mean_stated_area = 0;  // square pixels
  double occlusion = 0;         // as in GroundTruth
  const Masks* masks = nullptr;
  std::vector<uint32_t> areas;  // pixels by frame, 0 where absent
};

/// A prediction of a video.
struct PredictedTrack {
  size_t category = 0;
  double score = 0;
  const Masks* masks = nullptr;
  std::vector<uint32_t> areas;
};

/// Everything about one video. Masks are decoded; they live as long as this.
struct VideoTracks {
  size_t num_frames = 0;
  std::vector<TruthTrack> truths;           // in the order of the file
  std::vector<PredictedTrack> predictions;  // by category, then falling score
  std::vector<Masks> decoded;               // what `masks` point to
};

/// Gathers the tracks of a video; those of others stay in the file.
class VideoLoader {
 public:
  /// Both must outlive the loader.
  VideoLoader(const data::AnnotationFile& ground_truth, const Predictions& predictions);

  size_t num_videos() const { return videos_.size(); }
  size_t num_categories() const { return category_index_.size(); }
  /// in: `slot`, the rank of the video by id. At most kMaxDetections predictions of a category,
  /// the surest ones.
  VideoTracks load(size_t slot) const;

 private:
  struct Members {
    std::vector<size_t> truths;                         // indices into the file
    std::map<size_t, std::vector<size_t>> predictions;  // by category
  };

  const data::AnnotationFile& ground_truth_;
  const Predictions& predictions_;
  std::vector<size_t> videos_;  // indices into the file, by ascending id
  std::map<int64_t, size_t> category_index_;
  std::vector<Members> members_;
};

}  // namespace tessera::evaluation
