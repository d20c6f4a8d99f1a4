#pragma once

#include <cstdint>
#include <vector>

#include "launcher/data/data_options.h"
#include "launcher/data/random.h"

namespace tessera::data {

/// Which frames of which video make a training clip; `[data.sampling]`.
class ClipSampler {
 public:
  struct Clip {
    size_t video = 0;             // into the lengths
    std::vector<int64_t> frames;  // [T] positions in the video
  };

  /// in: num_frames T; video_lengths in frames, each >= 1.
  ClipSampler(const SamplingOptions& options, int64_t num_frames,
              std::vector<int64_t> video_lengths);

  /// Samples of an epoch.
  int64_t size() const { return static_cast<int64_t>(samples_.size()); }
  /// The clip of a sample in 0..size-1. Videos that are too short are gone through again.
  Clip draw(int64_t sample, Random& random) const;

 private:
  struct Sample {
    size_t video = 0;
    int64_t frame = 0;  // the last of window_ending_at, the middle of near_and_far
  };
  std::vector<int64_t> around_frame(int64_t length, Random& random) const;
  std::vector<int64_t> near_and_far(int64_t frame, int64_t length, Random& random) const;

  SamplingOptions options_;
  int64_t num_frames_;
  std::vector<int64_t> video_lengths_;
  std::vector<Sample> samples_;
};

}  // namespace tessera::data
