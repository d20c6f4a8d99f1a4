#include "launcher/data/clip_sampler.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/samplers/builtin.h"

namespace tessera::data {
namespace {

std::shared_ptr<const Sampler> make_sampler(const SamplingOptions& options,
                                            const ClipFacts& facts) {
  PluginOf<Sampler> choice;
  static_cast<PluginChoice&>(choice) = options;
  if (!choice.descriptor)
    for (const PluginDescriptor* builtin : builtin_samplers())
      if (builtin->name == choice.name) {
        choice.descriptor = builtin;
        choice.options = builtin->make_options();
      }
  BuildContext context;
  context.clip = facts;
  return context.make(choice);
}

}  // namespace

ClipSampler::ClipSampler(const SamplingOptions& options, const ClipFacts& facts,
                         std::vector<SampledVideo> videos)
    : name_(options.name),
      facts_(facts),
      sampler_(make_sampler(options, facts)),
      videos_(std::move(videos)) {
  for (size_t video = 0; video < videos_.size(); ++video)
    for (const int64_t frame : sampler_->samples(videos_[video]))
      samples_.push_back({video, frame});
}

int64_t ClipSampler::clip_length(size_t video) const {
  return sampler_->clip_length(videos_.at(video).length, facts_.num_frames);
}

ClipSampler::Clip ClipSampler::draw(int64_t sample, Random& random) const {
  const auto [video, frame] = samples_.at(static_cast<size_t>(sample));
  const SampledVideo& from = videos_[video];
  Clip clip{video, sampler_->draw(from, frame, random)};
  const int64_t wanted = clip_length(video);
  const bool are_inside = std::all_of(clip.frames.begin(), clip.frames.end(),
                                      [&](int64_t t) { return t >= 0 && t < from.length; });
  if (clip.frames.empty() || static_cast<int64_t>(clip.frames.size()) != wanted || !are_inside) {
    std::vector<std::string> texts;
    for (const int64_t t : clip.frames) texts.push_back(std::to_string(t));
    throw PluginError("data.sampling: '" + name_ + "': expected " + std::to_string(wanted) +
                      " frames of 0 to " + std::to_string(from.length - 1) + ", got " +
                      join(texts) + ".");
  }
  return clip;
}

}  // namespace tessera::data
