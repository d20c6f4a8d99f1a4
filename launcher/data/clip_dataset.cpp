#include "launcher/data/clip_dataset.h"

#include <utility>

#include "core/error.h"
#include "launcher/data/clip_targets.h"
#include "launcher/data/frame_tensor.h"
#include "launcher/data/image_mat.h"

namespace tessera::data {
namespace {

// Streams of random numbers, apart from the order's (sample_order.cpp).
constexpr uint64_t kSamplingStream = 2;
constexpr uint64_t kAugmentStream = 3;
constexpr uint64_t kPointStream = 8;

/// SeqFormer's code draws until a clip has an instance. A set in which none ever has must not stop
/// a run without a word.
constexpr int kMostDraws = 100;

std::vector<ClipSet> open_sets(const DataOptions& options, const SplitOptions& split,
                               const std::string& name) {
  const std::string key = "data." + name;
  std::vector<ClipSet> sets;
  for (size_t i = 0; i < split.sets.size(); ++i)
    sets.emplace_back(options, split.sets[i], key + ".sets[" + std::to_string(i) + "]");
  if (sets.empty()) {
    SetOptions only;
    only.annotations = split.annotations;
    only.images = split.images;
    sets.emplace_back(options, only, key);
  }
  return sets;
}

/// Name of the first category that a class_map maps to an id.
std::string mapped_name(const SplitOptions& split, const std::vector<ClipSet>& sets, int64_t id) {
  for (size_t i = 0; i < split.sets.size(); ++i)
    for (const auto& pair : split.sets[i].class_map)
      for (const Category& category : sets[i].annotations().categories)
        if (pair.at(1) == id && pair.at(0) == category.id) return category.name;
  return "category " + std::to_string(id);
}

/// Categories of the model: those of the first set that is not mapped to them.
CategoryTable model_categories(const DataOptions& options, const SplitOptions& split,
                               const std::vector<ClipSet>& sets) {
  for (const ClipSet& set : sets) {
    if (set.is_mapped()) continue;
    CategoryTable table = table_of(set.annotations().categories);
    if (table.size() != options.num_categories)
      throw ConfigError("data.num_categories: expected " + std::to_string(table.size()) +
                        ", the number of categories in " + set.annotations().file.string() +
                        ", got " + std::to_string(options.num_categories) +
                        ". Set data.num_categories = " + std::to_string(table.size()) + ".");
    return table;
  }
  CategoryTable table;
  for (int64_t id = 1; id <= options.num_categories; ++id) {
    table.ids.push_back(id);
    table.names.push_back(mapped_name(split, sets, id));
  }
  return table;
}

}  // namespace

ClipDataset::ClipDataset(const DataOptions& options, const SplitOptions& split,
                         const std::string& name)
    : options_(options), sets_(open_sets(options, split, name)) {
  use_single_opencv_thread();
  categories_ = model_categories(options_, split, sets_);
  for (ClipSet& set : sets_) {
    set.prepare(categories_.ids);
    size_ += set.epoch_size();
  }
}

std::vector<std::string> ClipDataset::warnings() const {
  std::vector<std::string> list;
  for (const ClipSet& set : sets_) {
    const AnnotationFile& file = set.annotations();
    if (file.without_mask == 0) continue;
    list.push_back(
        file.file.string() + ": " + std::to_string(file.without_mask) + " of " +
        std::to_string(file.without_mask + static_cast<int64_t>(file.annotations.size())) +
        " annotations are boxes without a mask and left out.");
  }
  return list;
}

ClipExtent ClipDataset::largest_clip(int64_t clips_in_batch) const {
  const bool by_area = clips_in_batch == 1;
  ClipExtent largest;
  for (const ClipSet& set : sets_) largest.join(set.largest_clip(by_area), by_area);
  return largest;
}

ClipSample ClipDataset::load(int64_t sample, uint64_t seed, int64_t epoch) const {
  const auto key = [&](uint64_t stream) {
    return Random({seed, stream, static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample)});
  };
  if (sample < 0 || sample >= size_)
    throw RuntimeError("clip data set: expected a sample below " + std::to_string(size_) +
                       ", got " + std::to_string(sample) + ".");
  size_t set = 0;
  int64_t k = sample;
  while (k >= sets_[set].epoch_size()) k -= sets_[set++].epoch_size();
  Random sampling = key(kSamplingStream);
  Random augmenting = key(kAugmentStream);
  const ClipSet& source = sets_[set];
  ClipSet::Clip clip;
  ClipSample result;
  cv::Size size;
  int64_t chosen = source.sample_of(k, epoch);
  for (int draw = 1;; ++draw) {
    clip = source.load(chosen, sampling, augmenting);
    size = clip.frames.front().size();
    result.targets = make_targets(clip.masks, clip.labels, static_cast<int64_t>(clip.frames.size()),
                                  size, options_.min_visible_pixels);
    if (source.takes_clip_with(result.targets.num_instances())) break;
    if (draw == kMostDraws)
      throw DataError(
          source.annotations().file.string() + ": expected a clip with " +
          source.wanted_instances() + " after data.augment, got none in " +
          std::to_string(kMostDraws) + " draws. Check the annotations and the sizes of crops, or " +
          (source.is_images()
               ? "widen " + source.key() + ".pseudo_clip.min_instances and max_instances."
               : "set data.sampling.redraw_empty = false."));
    chosen = source.draw_sample(sampling);
  }
  result.frames = normalised_frames(clip.frames, options_.normalise);
  result.targets.random_key = key(kPointStream).next() | 1;  // 0 would be none
  result.meta = {.video_id = clip.video->id,
                 .video_name = video_name(*clip.video),
                 .frame_indices = clip.frame_indices,
                 .height = size.height,
                 .width = size.width,
                 .original_height = clip.video->height,
                 .original_width = clip.video->width};
  return result;
}

}  // namespace tessera::data
