#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/interfaces/part.h"
#include "core/structures/random.h"

namespace tessera {

/// A video of the training data as a sampler sees it.
struct SampledVideo {
  int64_t length = 1;    // L, frames
  at::Tensor present{};  // [N,L] bool: which instance has a mask in which frame; N may be 0
};

/// Chooses the frames of training clips: `[data.sampling] kind = "<name>"`. The clip's length is
/// BuildContext::clip.num_frames.
///
/// The threads of the loader call one sampler at the same time: its functions are const and change
/// nothing but their arguments.
class TESSERA_API Sampler : public Part {
 public:
  static constexpr const char* kKind = "sampler";
  ~Sampler() override;

  /// The samples that an epoch has of a video, each named by a frame that draw() is given: for
  /// example every second frame. Without a sample a video is left out. By default one sample, 0.
  virtual std::vector<int64_t> samples(const SampledVideo& video) const;

  /// The clip of one sample. in: `frame`, one of samples(). out: clip_length() positions in the
  /// video, each in 0..L-1; ascending unless the sampler's summary states another order. A video
  /// that is too short gives frames more than once. Every draw comes from `random`, which depends
  /// on (seed, epoch, sample) alone.
  virtual std::vector<int64_t> draw(const SampledVideo& video, int64_t frame,
                                    Random& random) const = 0;

  /// Frames of a clip of a video with `length` frames. By default num_frames, as [data] states it.
  virtual int64_t clip_length(int64_t length, int64_t num_frames) const;

  /// Frames that a video needs so that no frame is twice in a clip. By default num_frames.
  virtual int64_t span(int64_t num_frames) const;
};

}  // namespace tessera
