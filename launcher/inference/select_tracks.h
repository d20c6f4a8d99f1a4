#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace tessera {

/// Which rows of a video's queries become tracks, with what class and score.
struct SelectedTracks {
  at::Tensor rows;         // [R] int64 query
  at::Tensor category;     // [R] int64 class, an index into the last dimension of the probabilities
  at::Tensor score;        // [R] float
  at::Tensor frame_score;  // [T,R] float: best class probability of the frame (slot), or the score
};

/// Every query is a track (VisTR): score = mean over frames of the frame's largest probability,
/// category = the most frequent per-frame argmax, the smallest index on ties.
/// in: probabilities [T,Q,K].
SelectedTracks select_slots(const at::Tensor& probabilities);

/// The `count` best (query, class) pairs of the mean over frames; a query may come twice.
/// in: probabilities [T,Q,K].
SelectedTracks select_top_k(const at::Tensor& probabilities, int64_t count);

/// Mask logits [R,T,h,w] on the padded input -> [R,T,H,W] logits at the original size: bilinear to
/// the padded input, cut to its unpadded part, bilinear to the original. Where nothing is padded
/// one resize does (align_corners = false).
struct FrameGeometry {
  int64_t padded_height = 0, padded_width = 0;  // of the model's input
  int64_t height = 0, width = 0;                // its unpadded part
  int64_t original_height = 0, original_width = 0;
};
at::Tensor resize_mask_logits(const at::Tensor& logits, const FrameGeometry& geometry);

}  // namespace tessera
