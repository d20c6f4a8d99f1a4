#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "launcher/data/frame_source.h"

namespace tessera::test_support {

/// Frames [64,96,3] with a bright square of 16x16 that moves four pixels to the right each time.
class MovingSquare final : public data::FrameSource {
 public:
  /// in: level of the square in frame 0, and by how much it rises from frame to frame.
  explicit MovingSquare(int64_t level = 255, int64_t rise = 0) : level_(level), rise_(rise) {}
  at::Tensor read(int64_t index) override {
    at::Tensor frame = at::zeros({64, 96, 3}, at::kByte);
    frame.narrow(0, 20, 16).narrow(1, 4 * index, 16).fill_(level_ + rise_ * index);
    return frame;
  }

 private:
  int64_t level_, rise_;
};

/// A video of `length` such frames; at most 21 hold the whole square.
inline data::InferenceVideo moving_square(int64_t length) {
  return {1, "square", 64, 96, length, std::make_shared<MovingSquare>()};
}

}  // namespace tessera::test_support
