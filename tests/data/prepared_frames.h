#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "launcher/data/frame_tensor.h"

namespace tessera::test_support {

/// What a model sees of a clip at inference. in: frames [T,H,W,3] uint8. out: [T,3,h,w] float.
inline at::Tensor prepared_frames(const at::Tensor& frames, int64_t short_side, int64_t max_side,
                                  const NormaliseOptions& normalise,
                                  const data::Resizing& resizing = {}) {
  std::vector<cv::Mat> resized;
  for (int64_t t = 0; t < frames.size(0); ++t)
    resized.push_back(data::resize_to_sides(frames[t], short_side, max_side, resizing));
  return data::normalised_frames(resized, normalise);
}

}  // namespace tessera::test_support
