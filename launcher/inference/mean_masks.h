#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

namespace tessera {

/// Mask logits of tracks in the frames that further windows may still see: each a mean over the
/// windows that held the track in the frame. Memory: the frames of a window.
class MeanMasks {
 public:
  struct Frame {
    std::vector<int64_t> tracks;
    at::Tensor logits;  // [R,h,w] mean
    at::Tensor score;   // [R] double on the CPU, mean
  };

  /// in: a window's rows in one frame: their tracks, logits [R,h,w], scores [R].
  void add(int64_t frame, const std::vector<int64_t>& tracks, const at::Tensor& logits,
           const at::Tensor& score);

  /// Gives the frames below `end`, and forgets them. out: by frame.
  std::map<int64_t, Frame> take(int64_t end);

 private:
  struct Sums {
    std::vector<int64_t> tracks;
    at::Tensor logits, score, count;
  };
  std::map<int64_t, Sums> frames_;
};

}  // namespace tessera
