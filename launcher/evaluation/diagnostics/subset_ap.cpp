#include "launcher/evaluation/diagnostics/subset_ap.h"

#include <utility>

#include "launcher/evaluation/ranges.h"

namespace tessera::evaluation {

SubsetAp::SubsetAp(std::string group, std::vector<Subset> subsets, const DiagnosticSizes& sizes)
    : group_(std::move(group)),
      subsets_(std::move(subsets)),
      num_categories_(sizes.num_categories) {
  for (size_t i = 0; i < subsets_.size(); ++i) {
    records_.emplace_back(sizes.num_videos, sizes.num_categories);
  }
}

void SubsetAp::add(size_t slot, const VideoEvidence& video) {
  std::vector<Range> ranges;
  for (const Subset& subset : subsets_) ranges.push_back(subset.range);
  const Scene scene = scene_of(video.overlaps);
  for (const SceneCell& cell : cells_of(scene)) {
    const CellMatches matches =
        match_scene_cell(scene, cell, {0, video.overlaps.num_frames()}, false, ranges);
    for (size_t i = 0; i < ranges.size(); ++i) {
      records_[i].at(slot, cell.category).add(matches, i);
    }
  }
}

std::vector<std::vector<DiagnosticGroup>> SubsetAp::groups() {
  std::vector<std::vector<DiagnosticGroup>> groups(num_categories_, {{group_, {}}});
  std::vector<std::vector<DiagnosticStat>> counts(num_categories_);
  for (size_t i = 0; i < subsets_.size(); ++i) {
    std::vector<PrecisionRecord> sums = records_[i].take_sums();
    for (size_t c = 0; c < num_categories_; ++c) {
      counts[c].push_back(
          {{"tracks_" + subsets_[i].name, static_cast<double>(sums[c].num_ground_truth)},
           StatKind::kCount});
      groups[c][0].stats.push_back(
          {{"AP_" + subsets_[i].name, precision_of(std::move(sums[c])).ap}});
    }
  }
  for (size_t c = 0; c < num_categories_; ++c) {
    auto& stats = groups[c][0].stats;
    stats.insert(stats.end(), counts[c].begin(), counts[c].end());
  }
  return groups;
}

SubsetAp ap_by_track_length(const DiagnosticSizes& sizes) {
  Range first, second, third;
  first.min_frames = 1;
  first.max_frames = 12;
  second.min_frames = 13;
  second.max_frames = 24;
  third.min_frames = 25;
  return {"track_length", {{"1_to_12", first}, {"13_to_24", second}, {"25_up", third}}, sizes};
}

SubsetAp ap_by_occlusion(const DiagnosticSizes& sizes) {
  const std::vector<Range> ranges = ranges_of(Protocol::kOvis);
  return {"occlusion",
          {{"light", ranges[kLight]}, {"medium", ranges[kModerate]}, {"heavy", ranges[kHeavy]}},
          sizes};
}

}  // namespace tessera::evaluation
