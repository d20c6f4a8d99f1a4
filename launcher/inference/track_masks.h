#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "launcher/inference/mask_store.h"
#include "launcher/inference/mean_masks.h"
#include "launcher/inference/seen_rows.h"
#include "launcher/inference/video_options.h"

namespace tessera {

/// The masks of a video's tracks on their way to the store: resized, thresholded, encoded, some at
/// a time.
class TrackMasks {
 public:
  /// `options` must outlive it.
  TrackMasks(const VideoOptions& options, at::Device device, std::shared_ptr<MaskStore> store)
      : options_(options), device_(device), store_(std::move(store)) {}

  /// Stores the masks of some rows from a frame of the video on.
  /// in: scores [T,R] of all rows in all frames, see frame_scores(); the track of each row.
  void store(const RowMasks& masks, const at::Tensor& scores, int64_t first_frame,
             const std::vector<int64_t>& rows, const std::vector<int64_t>& track_of_row);
  /// Adds the masks of all rows that have a track to the means of their frames. The masks must be
  /// computed.
  void add_to_means(const RowMasks& masks, const at::Tensor& scores,
                    const std::vector<int64_t>& track_of_row);
  /// Stores the means of the frames before `end`.
  void store_means(int64_t end, const FrameGeometry& geometry);

  /// Forgets what is there of a track. Nothing of it is stored from now on.
  void discard(int64_t track);
  /// Whether the track has a pixel in any frame.
  bool has(int64_t track) const { return store_->has(track); }
  /// The mean probability of the pixels of a track's masks; see [inference] mask_quality.
  double quality(int64_t track) const;

 private:
  struct Quality {
    double sum = 0.0;
    int64_t pixels = 0;
  };
  void encode(const at::Tensor& logits, const FrameGeometry& geometry, int64_t frame,
              const std::vector<int64_t>& tracks, const std::vector<bool>& is_wanted);
  void measure(const at::Tensor& logits, const std::vector<int64_t>& tracks,
               const std::vector<bool>& is_wanted);

  const VideoOptions& options_;
  at::Device device_;
  std::shared_ptr<MaskStore> store_;
  MeanMasks means_;
  std::unordered_map<int64_t, Quality> qualities_;
  std::unordered_set<int64_t> discarded_;
};

/// The best category's probability of each row in each frame: [T,R] double on the CPU.
at::Tensor frame_scores(const ClassLogits& classes, int64_t num_categories);

}  // namespace tessera
