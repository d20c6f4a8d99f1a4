#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/interfaces/build_context.h"
#include "core/interfaces/sampler.h"
#include "core/structures/random.h"
#include "launcher/data/data_options.h"

namespace tessera::data {

/// Which frames of which video make a training clip: `[data.sampling]` on the videos of one set.
/// Many threads may draw from one sampler.
class ClipSampler {
 public:
  struct Clip {
    size_t video = 0;             // into the videos
    std::vector<int64_t> frames;  // [T] positions in the video
  };

  /// in: the clip's length in `facts`; videos of at least one frame each. Options that no file was
  /// read for mean the built-in sampler of that name with its defaults.
  ClipSampler(const SamplingOptions& options, const ClipFacts& facts,
              std::vector<SampledVideo> videos);

  /// Samples of an epoch.
  int64_t size() const { return static_cast<int64_t>(samples_.size()); }
  /// The clip of a sample in 0..size-1. Throws PluginError where the sampler gives another number
  /// of frames than it states, or frames that the video has not.
  Clip draw(int64_t sample, Random& random) const;
  /// Frames of the clips of a video.
  int64_t clip_length(size_t video) const;
  /// Frames that a video needs so that no frame is twice in a clip.
  int64_t span() const { return sampler_->span(facts_.num_frames); }

 private:
  struct Sample {
    size_t video = 0;
    int64_t frame = 0;  // what Sampler::samples named it
  };

  std::string name_;
  ClipFacts facts_;
  std::shared_ptr<const Sampler> sampler_;
  std::vector<SampledVideo> videos_;
  std::vector<Sample> samples_;
};

}  // namespace tessera::data
