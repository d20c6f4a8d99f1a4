#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

/// Where a clip came from: enough to name it in an error and to put results back.
struct ClipMeta {
  int64_t video_id = 0;
  std::string video_name;
  std::vector<int64_t> frame_indices;               // [T] positions in the video
  int64_t height = 0, width = 0;                    // pixels before padding
  int64_t original_height = 0, original_width = 0;  // pixels of the video
};

/// What a model sees.
struct ClipBatch {
  at::Tensor frames;           // [B,T,3,H,W] float, normalised RGB
  at::Tensor padding_mask;     // [B,T,H,W] bool, true = padded
  std::vector<ClipMeta> meta;  // [B]
  /// [3] what was subtracted from colours of 0..1 and what they were divided by, for losses that
  /// compare colours; undefined where each clip has its own (`data.normalise.by = "clip"`).
  at::Tensor mean{}, deviation{};
};

/// The ground truth of one clip. Labels are category indices from 0 in the data set's order;
/// a head's label_offset turns them into class indices.
struct ClipTargets {
  at::Tensor labels;  // [N] int64
  at::Tensor boxes;   // [N,T,4] float, cx cy w h over the unpadded size, zero where absent
  at::Tensor masks;   // [N,T,H,W] bool at the batch's padded size
  at::Tensor valid;   // [N,T] bool, true = the instance is in the frame
  int64_t height = 0, width = 0;  // pixels before padding
  /// Seeds the random points at which losses and matchers look at this clip, so that they do not
  /// depend on the clips beside it. 0: points come from the context's generator.
  uint64_t random_key = 0;
  /// Set by in_pieces(): the clip of the batch and the place in it that these frames come from, and
  /// the row that each instance has in the clip, [N] int64. Undefined: a whole clip.
  int64_t clip = -1, piece = 0;
  at::Tensor instance{};

  int64_t num_instances() const { return labels.size(0); }
};

using Targets = std::vector<ClipTargets>;  // [B]

}  // namespace tessera
