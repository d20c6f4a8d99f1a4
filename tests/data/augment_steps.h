#pragma once

#include <string>

#include "core/config/toml_reader.h"
#include "core/plugin/registry.h"
#include "launcher/data/augmenter.h"

namespace tessera::test_support {

/// A step of `[data.augment]` as a file states it: `kind = "crop"` and its options, in TOML.
inline AugmentStepOptions step(const std::string& kind, const std::string& options = "") {
  static Registry registry(Registry::default_search_paths());
  AugmentStepOptions result;
  ReadContext context(&registry);
  config_detail::FieldType<AugmentStepOptions>::read(
      result, parse_toml("kind = \"" + kind + "\"\n" + options, "step"), "step", context);
  context.throw_if_failed();
  return result;
}

/// `[data.sampling]` as a file states it.
inline SamplingOptions sampling(const std::string& kind, const std::string& options = "") {
  static Registry registry(Registry::default_search_paths());
  SamplingOptions result;
  ReadContext context(&registry);
  config_detail::FieldType<SamplingOptions>::read(
      result, parse_toml("kind = \"" + kind + "\"\n" + options, "sampling"), "sampling", context);
  context.throw_if_failed();
  return result;
}

/// What the options make of a clip, if no step changes it as a whole.
inline data::ClipTransform transform_of(const AugmentOptions& options, cv::Size size,
                                        size_t num_frames, Random& random,
                                        const data::Resizing& resizing = {}) {
  return data::Augmenter(options, {static_cast<int64_t>(num_frames), 1}, resizing)
      .draw(size, num_frames, random)
      .first();
}

/// Puts a whole clip through a plan drawn for it.
inline void augment(data::ClipImages& clip, const AugmentOptions& options, Random& random,
                    const data::Resizing& resizing = {}) {
  data::Augmenter(options, {static_cast<int64_t>(clip.frames.size()), 1}, resizing)
      .draw(clip.size(), clip.frames.size(), random)
      .apply(clip);
}

}  // namespace tessera::test_support
