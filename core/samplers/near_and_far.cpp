#include <algorithm>

#include "core/interfaces/sampler.h"
#include "core/plugin/plugin.h"
#include "core/samplers/builtin_samplers.h"
#include "core/samplers/window.h"

namespace tessera::samplers {
namespace {

/// SeqFormer: the neighbours stay within the video. The others are drawn without replacement from
/// the frames outside and the last of the frames drawn so far, if these are more than enough; else
/// from all frames. A video with fewer frames than that gives all of them, again and again, and the
/// rest is drawn without replacement.
class NearAndFar final : public Sampler {
 public:
  struct Options {
    int64_t every = 1;
    int64_t reach = 20;
    static void describe(Schema<Options>& schema) {
      schema
          .field("every", &Options::every,
                 "An epoch has one sample for this number of frames of a video.")
          .at_least(1);
      schema
          .field("reach", &Options::reach,
                 "Largest distance of the two neighbours from the sampled frame, in frames.")
          .at_least(1);
    }
  };
  NearAndFar(const Options& options, const BuildContext& context)
      : options_(options), num_frames_(context.clip.num_frames) {}

  std::vector<int64_t> samples(const SampledVideo& video) const override {
    return every_frame(video.length, options_.every);
  }

  std::vector<int64_t> draw(const SampledVideo& video, int64_t frame,
                            Random& random) const override {
    const int64_t length = video.length;
    std::vector<int64_t> frames{frame};
    if (num_frames_ > 1)
      frames.push_back(std::max<int64_t>(0, frame - random.integer(1, options_.reach)));
    if (num_frames_ > 2)
      frames.push_back(std::min(length - 1, frame + random.integer(1, options_.reach)));
    const auto [low, high] = std::minmax_element(frames.begin(), frames.end());
    const int64_t first = *low, last = *high;
    int64_t wanted = num_frames_ - static_cast<int64_t>(frames.size());
    std::vector<int64_t> pool;
    const bool enough = length - (last - first) > wanted;
    for (int64_t t = 0; t < length; ++t)
      if (!enough || t < first || t >= last) pool.push_back(t);
    while (wanted > static_cast<int64_t>(pool.size())) {
      frames.insert(frames.end(), pool.begin(), pool.end());
      wanted -= static_cast<int64_t>(pool.size());
    }
    for (; wanted > 0; --wanted) {
      const int64_t chosen = random.integer(0, static_cast<int64_t>(pool.size()) - 1);
      frames.push_back(pool[static_cast<size_t>(chosen)]);
      pool.erase(pool.begin() + chosen);
    }
    std::sort(frames.begin(), frames.end());
    return frames;
  }

 private:
  Options options_;
  int64_t num_frames_;
};

}  // namespace

const PluginDescriptor& near_and_far() {
  static constexpr PluginDescriptor kDescriptor = make_descriptor<Sampler, NearAndFar>(
      "near_and_far",
      "The sampled frame, a neighbour on either side, others from outside these (SeqFormer)");
  return kDescriptor;
}

}  // namespace tessera::samplers
