#include "launcher/data/stats.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace tessera::data {
namespace {

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
  return {values.front(), median, values.back()};
}

bool has_gap(const std::vector<bool>& visible) {
  const auto first = std::find(visible.begin(), visible.end(), true);
  const auto last = std::find(visible.rbegin(), visible.rend(), true).base();
  return first < last && std::find(first, last, false) != last;
}

}  // namespace

DataStats count_data_set(const AnnotationFile& annotations) {
  DataStats stats;
  std::map<std::string, int64_t> sizes;
  std::vector<double> lengths, parts, visible_frames, in_video(annotations.videos.size());
  std::vector<std::vector<double>> in_frame;
  for (const Video& video : annotations.videos) {
    ++stats.videos;
    stats.frames += video.length;
    lengths.push_back(static_cast<double>(video.length));
    in_frame.emplace_back(static_cast<size_t>(video.length));
    ++sizes[std::to_string(video.width) + "x" + std::to_string(video.height)];
  }
  for (const Category& category : annotations.categories)
    stats.categories.push_back({.id = category.id, .name = category.name});
  std::vector<std::set<size_t>> videos_with(annotations.categories.size());
  for (const Annotation& annotation : annotations.annotations) {
    if (annotation.is_crowd) {
      ++stats.crowds;
      continue;
    }
    CategoryStats& category = stats.categories[annotation.category_index];
    ++stats.objects;
    ++category.objects;
    videos_with[annotation.category_index].insert(annotation.video_index);
    in_video[annotation.video_index] += 1;
    std::vector<bool> visible;
    for (size_t t = 0; t < annotation.segmentations.size(); ++t) {
      const auto& mask = annotation.segmentations[t];
      const uint64_t pixels = mask ? area(*mask) : 0;
      visible.push_back(pixels > 0);
      if (pixels == 0) continue;
      ++category.masks;
      in_frame[annotation.video_index][t] += 1;
      parts.push_back(static_cast<double>(pixels) /
                      static_cast<double>(mask->height * mask->width));
    }
    visible_frames.push_back(static_cast<double>(std::count(visible.begin(), visible.end(), true)));
    stats.objects_in_gaps += has_gap(visible);
  }
  for (size_t c = 0; c < videos_with.size(); ++c) {
    stats.categories[c].videos = static_cast<int64_t>(videos_with[c].size());
    stats.masks += stats.categories[c].masks;
  }
  std::vector<double> all_frames;
  for (const auto& frames : in_frame)
    all_frames.insert(all_frames.end(), frames.begin(), frames.end());
  stats.frames_of_video = spread_of(std::move(lengths));
  stats.objects_of_video = spread_of(std::move(in_video));
  stats.objects_of_frame = spread_of(std::move(all_frames));
  stats.frames_of_object = spread_of(std::move(visible_frames));
  stats.mask_part = spread_of(std::move(parts));
  stats.sizes.assign(sizes.begin(), sizes.end());
  std::stable_sort(stats.sizes.begin(), stats.sizes.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return stats;
}

}  // namespace tessera::data
