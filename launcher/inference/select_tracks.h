#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace tessera {

/// What tracks get class and score from, summed over frames: the frames of a long video add up
/// without being kept.
struct TrackSums {
  at::Tensor frames;  // [Q] int64: how many were summed
  at::Tensor votes;   // [Q,K] int64: frames in which the class was the best
  at::Tensor best;    // [Q] double: the frames' largest probabilities
  /// [Q,C] double, of each stage that counts: sums of probabilities or of logits, or the maxima of
  /// probabilities.
  std::vector<at::Tensor> classes;
};

/// in: probabilities [T,Q,K]; averaged [T,Q,C], of one stage. out: on the CPU.
TrackSums sum_frames(const at::Tensor& probabilities, const at::Tensor& averaged);

/// Which rows of a video's queries become tracks, with what class and score.
struct SelectedTracks {
  at::Tensor rows;      // [R] int64 query
  at::Tensor category;  // [R] int64 class, an index into the last dimension of the probabilities
  at::Tensor score;     // [R] double
};

/// Every query is a track (VisTR): score = mean over frames of the frame's largest probability,
/// category = the most frequent per-frame argmax, the smallest index on ties.
SelectedTracks select_slots(const TrackSums& sums);

/// The `count` best (query, class) pairs; a query may come twice.
/// in: probabilities [Q,K] of the whole video.
SelectedTracks select_top_k(const at::Tensor& probabilities, int64_t count);

/// Every (query, class) pair above `threshold`; a query may come more than once.
/// in: probabilities [Q,K] of the whole video. out: by query, then by class.
SelectedTracks select_above(const at::Tensor& probabilities, double threshold);

/// Mask logits [R,T,h,w] on the padded input -> [R,T,H,W] logits at the original size: bilinear to
/// the padded input, cut to its unpadded part, bilinear to the original. Where nothing is padded
/// one resize does (align_corners = false).
struct FrameGeometry {
  int64_t padded_height = 0, padded_width = 0;  // of the model's input
  int64_t height = 0, width = 0;                // its unpadded part
  int64_t original_height = 0, original_width = 0;
};
at::Tensor resize_mask_logits(const at::Tensor& logits, const FrameGeometry& geometry);
/// The same at the size of the unpadded input.
at::Tensor unpadded_mask_logits(const at::Tensor& logits, const FrameGeometry& geometry);

}  // namespace tessera
