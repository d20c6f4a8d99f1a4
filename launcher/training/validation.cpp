#include "launcher/training/validation.h"

#include <algorithm>

#include "core/error.h"
#include "launcher/inference/video_inference.h"

namespace tessera {

Validation::Validation(const Experiment& experiment) : experiment_(experiment) {
  const SplitOptions& split = experiment.data.validation;
  if (split.annotations.empty())
    throw ConfigError(
        "data.validation.annotations: expected an annotation file beside train.evaluate_every, got "
        "none. Set data.validation.annotations and data.validation.images.");
  ground_truth_ = data::read_annotations(split.annotations);
  for (const auto& category : ground_truth_.categories) category_ids_.push_back(category.id);
  std::sort(category_ids_.begin(), category_ids_.end());
  if (static_cast<int64_t>(category_ids_.size()) != experiment.data.num_categories)
    throw ConfigError("data.num_categories: expected the " + std::to_string(category_ids_.size()) +
                      " categories of " + split.annotations + ", got " +
                      std::to_string(experiment.data.num_categories) + ".");
  videos_ = data::open_videos(split.annotations, split.images);
}

std::vector<evaluation::Stat> Validation::run(VisModel& model, at::Device device) const {
  const VideoInference inference(model, experiment_, device);
  evaluation::Results results;
  for (const data::InferenceVideo& video : videos_) {
    const VideoTracks found = inference.run(video);
    for (const VideoTracks::Track& track : found.tracks())
      results.tracks.push_back({video.id, category_ids_.at(static_cast<size_t>(track.category)),
                                track.score, found.masks(track)});
  }
  return evaluation::score(ground_truth_, results).stats;
}

}  // namespace tessera
