#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/structures/clip.h"
#include "launcher/data/category_table.h"
#include "launcher/data/clip_set.h"
#include "launcher/data/data_options.h"
#include "launcher/data/ytvis.h"

namespace tessera::data {

/// One training clip, ready but for padding.
struct ClipSample {
  at::Tensor frames;    // [T,3,h,w] float, normalised
  ClipTargets targets;  // masks at h x w
  ClipMeta meta;
};

/// The clips of one split: of one data set, or of several that are trained on together. Category
/// ids become indices 0..C-1 in ascending order of the model's ids; crowd regions are no instances.
/// Immutable: many threads may load from one data set.
class ClipDataset {
 public:
  /// Reads the annotations and looks for every image. `name` ("train") is for messages.
  /// Throws ConfigError where the split is not stated, num_categories is not the file's count or
  /// sets do not fit together; DataError where a file is wrong or an image is missing.
  ClipDataset(const DataOptions& options, const SplitOptions& split, const std::string& name);

  /// Samples of an epoch, those of the first set first.
  int64_t size() const { return size_; }

  /// Every draw depends on (seed, epoch, sample) alone. in: sample 0..size-1. In place of a clip
  /// that its set does not take (ClipSet::takes_clip_with) another sample of the set is drawn.
  /// Throws DataError naming file, video and frame where an image is broken or of another size, and
  /// naming the set if none of 100 draws gave a clip that it takes.
  ClipSample load(int64_t sample, uint64_t seed, int64_t epoch) const;

  /// What a user should know of the files: annotations without a mask, which are left out.
  std::vector<std::string> warnings() const;

  /// The largest clip of all sets, see ClipSet::largest_clip; for batches of several clips, which
  /// are padded to the largest of each side, the larger of each side.
  ClipExtent largest_clip(int64_t clips_in_batch) const;

  /// The model's classes: the categories of the first set without a class_map; if all sets have
  /// one, the ids that they map to, each under the name of the first category that is mapped to it.
  const CategoryTable& categories() const { return categories_; }

  const NormaliseOptions& normalise() const { return options_.normalise; }

  const std::vector<ClipSet>& sets() const { return sets_; }
  /// Of the first set.
  const AnnotationFile& annotations() const { return sets_.front().annotations(); }

 private:
  DataOptions options_;
  std::vector<ClipSet> sets_;
  CategoryTable categories_;
  int64_t size_ = 0;
};

}  // namespace tessera::data
