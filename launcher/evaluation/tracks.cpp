#include "launcher/evaluation/tracks.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/error.h"
#include "launcher/data/json_reader.h"

namespace tessera::evaluation {

using data::at_place;

double occlusion_score(const data::Annotation& annotation) {
  std::vector<double> levels;
  for (const auto& occlusion : annotation.occlusion) {
    if (!occlusion) continue;
    switch (*occlusion) {
      case data::Occlusion::kNone:
        levels.push_back(0);
        break;
      case data::Occlusion::kSlight:
        levels.push_back(.25);
        break;
      case data::Occlusion::kSevere:
        levels.push_back(.75);
        break;
    }
  }
  if (levels.empty()) return 0;
  std::sort(levels.begin(), levels.end(), std::greater<>());
  const size_t count = (levels.size() + 1) / 2;
  return std::accumulate(levels.begin(), levels.begin() + static_cast<ptrdiff_t>(count), 0.) /
         static_cast<double>(count);
}

void fill_areas(Track& track, const Masks& segmentations) {
  track.segmentations = &segmentations;
  track.areas.resize(segmentations.size());
  for (size_t t = 0; t < segmentations.size(); ++t) {
    if (!segmentations[t]) continue;
    // Tracks may come from memory, and intersections rely on runs that fill the frame.
    at_place([&] { return "frame " + std::to_string(t); }, [&] { data::check(*segmentations[t]); });
    track.areas[t] = data::area(*segmentations[t]);
    if (track.areas[t] > 0) ++track.num_frames;
  }
}

double mean_area(const std::vector<uint64_t>& areas) {
  const auto count = std::count_if(areas.begin(), areas.end(), [](uint64_t a) { return a > 0; });
  const auto sum = std::accumulate(areas.begin(), areas.end(), uint64_t{0});
  return count == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count);
}

double mean_stated_area(const data::Annotation& annotation) {
  double sum = 0;
  size_t count = 0;
  for (const auto& area : annotation.areas) {
    if (!area || *area == 0) continue;
    sum += *area;
    ++count;
  }
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

void check_fits(const Masks& segmentations, const data::Video& video) {
  if (static_cast<int64_t>(segmentations.size()) != video.length) {
    throw DataError("'segmentations': expected one entry for each of the " +
                    std::to_string(video.length) + " frames of the video, got " +
                    std::to_string(segmentations.size()) +
                    ". Frames beyond the shorter list would count for nothing: write null where "
                    "the object is absent, or use --compatible for the numbers of the reference.");
  }
  for (size_t t = 0; t < segmentations.size(); ++t) {
    const auto& rle = segmentations[t];
    if (!rle || (rle->height == video.height && rle->width == video.width)) continue;
    throw DataError("frame " + std::to_string(t) + ": expected a mask of " +
                    std::to_string(video.height) + " x " + std::to_string(video.width) +
                    " (height x width of the video), got " + std::to_string(rle->height) + " x " +
                    std::to_string(rle->width) + ". Resize masks to the video's size.");
  }
}

}  // namespace tessera::evaluation
