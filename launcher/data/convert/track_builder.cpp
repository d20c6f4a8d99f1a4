#include "launcher/data/convert/track_builder.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"
#include "launcher/data/natural_order.h"

namespace tessera::data {

TrackBuilder::TrackBuilder(std::vector<std::string> categories)
    : categories_(std::move(categories)), fixed_categories_(!categories_.empty()) {
  if (std::set<std::string>(categories_.begin(), categories_.end()).size() != categories_.size())
    throw ConfigError("--categories: expected each name once, got " + join(categories_) + ".");
}

size_t TrackBuilder::add_video(int64_t width, int64_t height, std::vector<std::string> file_names) {
  check_mask_size(height, width);
  const auto length = static_cast<int64_t>(file_names.size());
  videos_.push_back({.id = static_cast<int64_t>(videos_.size()) + 1,
                     .width = width,
                     .height = height,
                     .length = length,
                     .file_names = std::move(file_names)});
  tracks_.emplace_back();
  return videos_.size() - 1;
}

void TrackBuilder::add_mask(size_t video, const std::string& object, const std::string& category,
                            int64_t frame, Rle mask, bool crowd) {
  if (area(mask) == 0) return;
  std::optional<Rle>& place = place_of(video, object, category, frame, mask, crowd);
  if (place)
    throw DataError("object " + object + ": expected one mask in a frame, got a second one.");
  place = std::move(mask);
}

bool TrackBuilder::add_part(size_t video, const std::string& object, const std::string& category,
                            int64_t frame, Rle mask, bool crowd) {
  if (area(mask) == 0) return false;
  std::optional<Rle>& place = place_of(video, object, category, frame, mask, crowd);
  const bool is_joined = place.has_value();
  place = is_joined ? merge(*place, mask) : std::move(mask);
  return is_joined;
}

std::optional<Rle>& TrackBuilder::place_of(size_t video, const std::string& object,
                                           const std::string& category, int64_t frame,
                                           const Rle& mask, bool crowd) {
  const Video& owner = videos_.at(video);
  if (fixed_categories_ &&
      std::find(categories_.begin(), categories_.end(), category) == categories_.end())
    throw DataError("object " + object + ": expected a category of --categories, got '" + category +
                    "'." + suggestion(category, categories_));
  if (mask.height != owner.height || mask.width != owner.width)
    throw DataError("object " + object + ": expected a mask of " + std::to_string(owner.width) +
                    "x" + std::to_string(owner.height) + " pixels as the video, got " +
                    std::to_string(mask.width) + "x" + std::to_string(mask.height) + ".");
  auto& tracks = tracks_[video];
  const auto [found, is_new] = tracks.try_emplace(object);
  Track& track = found->second;
  if (is_new)
    track = {category, crowd, std::vector<std::optional<Rle>>(static_cast<size_t>(owner.length))};
  if (track.category != category || track.crowd != crowd)
    throw DataError("object " + object + ": expected the category '" + track.category +
                    "' as in the frames before, got '" + category + "'.");
  return track.masks.at(static_cast<size_t>(frame));
}

AnnotationFile TrackBuilder::take() {
  if (videos_.empty()) throw DataError("expected at least one video, got none.");
  std::set<std::string> used;
  for (const auto& tracks : tracks_)
    for (const auto& [object, track] : tracks) used.insert(track.category);
  if (!fixed_categories_) categories_.assign(used.begin(), used.end());
  if (categories_.empty()) throw DataError("expected at least one object, got only background.");
  AnnotationFile result;
  for (const std::string& name : categories_)
    result.categories.push_back({static_cast<int64_t>(result.categories.size()) + 1, name});
  for (size_t video = 0; video < videos_.size(); ++video) {
    std::vector<std::string> objects;
    for (const auto& [object, track] : tracks_[video]) objects.push_back(object);
    std::sort(objects.begin(), objects.end(), natural_less);
    for (const std::string& object : objects) {
      Track& track = tracks_[video].at(object);
      const auto category =
          std::find(categories_.begin(), categories_.end(), track.category) - categories_.begin();
      Annotation annotation{.id = static_cast<int64_t>(result.annotations.size()) + 1,
                            .video_id = videos_[video].id,
                            .category_id = category + 1,
                            .video_index = video,
                            .category_index = static_cast<size_t>(category),
                            .is_crowd = track.crowd,
                            .segmentations = std::move(track.masks),
                            .areas = {},
                            .bboxes = {},
                            .occlusion = {}};
      for (const auto& mask : annotation.segmentations) {
        annotation.areas.push_back(mask ? std::optional(static_cast<double>(area(*mask)))
                                        : std::nullopt);
        annotation.bboxes.push_back(mask ? std::optional(bounding_box(*mask)) : std::nullopt);
      }
      result.annotations.push_back(std::move(annotation));
    }
  }
  result.videos = std::move(videos_);
  return result;
}

}  // namespace tessera::data
