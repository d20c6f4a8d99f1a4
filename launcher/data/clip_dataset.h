#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/structures/clip.h"
#include "launcher/data/clip_sampler.h"
#include "launcher/data/data_options.h"
#include "launcher/data/ytvis.h"

namespace tessera::data {

/// One training clip, ready but for padding.
struct ClipSample {
  at::Tensor frames;    // [T,3,h,w] float, normalised
  ClipTargets targets;  // masks at h x w
  ClipMeta meta;
};

/// The clips of one split. Category ids become indices 0..C-1 in ascending order of id; crowd
/// regions are no instances. Immutable: many threads may load from one data set.
class ClipDataset {
 public:
  /// Reads the annotations and looks for every image. `name` ("train") is for messages.
  /// Throws ConfigError where the split is not stated or num_categories is not the file's count;
  /// DataError where the file is wrong or an image is missing.
  ClipDataset(const DataOptions& options, const SplitOptions& split, const std::string& name);

  /// Samples of an epoch.
  int64_t size() const { return sampler_.size(); }

  /// Every draw depends on (seed, epoch, sample) alone. in: sample 0..size-1.
  /// Throws DataError naming file, video and frame where an image is broken or of another size.
  ClipSample load(int64_t sample, uint64_t seed, int64_t epoch) const;

  const AnnotationFile& annotations() const { return annotations_; }

 private:
  std::filesystem::path image_file(size_t video, int64_t frame) const;
  void check_images() const;

  DataOptions options_;
  std::filesystem::path images_;
  AnnotationFile annotations_;
  ClipSampler sampler_;
  std::vector<int64_t> labels_;                      // of each category of the file
  std::vector<std::vector<size_t>> annotations_of_;  // [video] without crowds
};

/// The index of each of the file's categories when they are put in ascending order of id.
std::vector<int64_t> category_labels(const AnnotationFile& annotations);

/// The name of a video: the folder of its first frame, or "video <id>".
std::string video_name(const Video& video);

}  // namespace tessera::data
