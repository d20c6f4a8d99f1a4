#include "launcher/evaluation/diagnostics/video_tracks.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

namespace tessera::evaluation {
namespace {

std::vector<uint32_t> areas_of(const Masks& masks) {
  std::vector<uint32_t> areas(masks.size());
  for (size_t t = 0; t < masks.size(); ++t) {
    if (masks[t]) areas[t] = static_cast<uint32_t>(data::area(*masks[t]));
  }
  return areas;
}

}  // namespace

VideoLoader::VideoLoader(const data::AnnotationFile& ground_truth, const Predictions& predictions)
    : ground_truth_(ground_truth), predictions_(predictions), videos_(ground_truth.videos.size()) {
  std::iota(videos_.begin(), videos_.end(), size_t{0});
  const auto id = [&](size_t i) { return ground_truth.videos[i].id; };
  std::sort(videos_.begin(), videos_.end(), [&](size_t a, size_t b) { return id(a) < id(b); });
  std::unordered_map<int64_t, size_t> slots;
  for (size_t slot = 0; slot < videos_.size(); ++slot) slots[id(videos_[slot])] = slot;
  for (const data::Category& category : ground_truth.categories) category_index_[category.id] = 0;
  size_t num_categories = 0;
  for (auto& [category_id, index] : category_index_) index = num_categories++;

  members_.resize(videos_.size());
  for (size_t i = 0; i < ground_truth.annotations.size(); ++i) {
    members_[slots.at(ground_truth.annotations[i].video_id)].truths.push_back(i);
  }
  for (size_t i = 0; i < predictions.size(); ++i) {
    const ResultIndex::Entry entry = predictions.entry(i);
    const size_t category = category_index_.at(entry.category_id);
    members_[slots.at(entry.video_id)].predictions[category].push_back(i);
  }
  for (Members& members : members_) {
    for (auto& [category, list] : members.predictions) {
      std::stable_sort(list.begin(), list.end(), [&](size_t a, size_t b) {
        return predictions.entry(a).score > predictions.entry(b).score;
      });
      if (list.size() > kMaxDetections) list.resize(kMaxDetections);
    }
  }
}

VideoTracks VideoLoader::load(size_t slot) const {
  VideoTracks video;
  video.num_frames = static_cast<size_t>(ground_truth_.videos[videos_[slot]].length);
  for (const size_t i : members_[slot].truths) {
    const data::Annotation& annotation = ground_truth_.annotations[i];
    video.truths.push_back({.category = category_index_.at(annotation.category_id),
                            .is_crowd = annotation.is_crowd,
                            .mean_stated_area = mean_stated_area(annotation),
                            .occlusion = occlusion_score(annotation),
                            .masks = &annotation.segmentations,
                            .areas = areas_of(annotation.segmentations)});
  }
  size_t count = 0;
  for (const auto& [category, list] : members_[slot].predictions) count += list.size();
  video.decoded.resize(count);
  for (const auto& [category, list] : members_[slot].predictions) {
    for (const size_t i : list) {
      const Masks& masks = predictions_.masks(i, video.decoded[video.predictions.size()]);
      video.predictions.push_back({.category = category,
                                   .score = predictions_.entry(i).score,
                                   .masks = &masks,
                                   .areas = areas_of(masks)});
    }
  }
  return video;
}

}  // namespace tessera::evaluation
