#include "launcher/training/validation.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "core/error.h"
#include "launcher/evaluation/results_writer.h"
#include "launcher/inference/video_inference.h"
#include "launcher/inference/video_share.h"

namespace tessera {
namespace {

/// "<name>\t<value>" lines; the value's text gives back every bit.
std::string encode(const std::vector<evaluation::Stat>& stats) {
  std::ostringstream text;
  text << std::hexfloat;
  for (const evaluation::Stat& stat : stats) text << stat.name << '\t' << stat.value << '\n';
  return text.str();
}

std::vector<evaluation::Stat> decode(const std::string& text) {
  std::vector<evaluation::Stat> stats;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    const size_t tab = line.find('\t');
    stats.push_back({line.substr(0, tab), std::strtod(line.c_str() + tab + 1, nullptr)});
  }
  return stats;
}

}  // namespace

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
  videos_ = data::open_videos(split.annotations,
                              {.images = split.images, .rules = experiment.data.image_rules()});
}

std::vector<evaluation::Stat> Validation::run(VisModel& model, at::Device device,
                                              const Communicator* communicator,
                                              const std::function<void()>& on_video) const {
  const Communicator alone;
  const Communicator& ranks = communicator ? *communicator : alone;
  const VideoInference inference(model, experiment_.video_options(), device);
  inference.check_windows(videos_);
  evaluation::Results results;
  std::string lines;
  for (const size_t index : own_videos(videos_, ranks.rank(), ranks.size())) {
    if (on_video) on_video();
    const data::InferenceVideo& video = videos_[index];
    const VideoTracks found = inference.run(video);
    for (const VideoTracks::Track& track : found.tracks()) {
      evaluation::ResultTrack result{video.id,
                                     category_ids_.at(static_cast<size_t>(track.category)),
                                     track.score, found.masks(track)};
      if (ranks.size() == 1)
        results.tracks.push_back(std::move(result));
      else
        lines += line_of_video(index, evaluation::result_json(result));
    }
  }
  if (ranks.size() == 1) return evaluation::score(ground_truth_, results).stats;
  for (const std::string& track : in_order_of_videos(ranks.gather(lines)))
    results.tracks.push_back(evaluation::parse_result(track));
  std::string scored;
  if (ranks.is_first()) scored = encode(evaluation::score(ground_truth_, results).stats);
  return decode(ranks.from_first(scored));
}

}  // namespace tessera
