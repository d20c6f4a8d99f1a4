#include "launcher/evaluation/diagnostics/windowed_ap.h"

#include <algorithm>
#include <string>

namespace tessera::evaluation {

WindowedAp::WindowedAp(const DiagnosticSizes& sizes) : num_categories_(sizes.num_categories) {
  for (size_t w = 0; w < kWindows.size(); ++w) {
    records_.emplace_back(sizes.num_videos, sizes.num_categories);
  }
}

void WindowedAp::add(size_t slot, const VideoEvidence& video) {
  const Scene scene = scene_of(video.overlaps);
  const size_t num_frames = video.overlaps.num_frames();
  for (const SceneCell& cell : cells_of(scene)) {
    for (size_t w = 0; w < kWindows.size(); ++w) {
      const size_t length = kWindows[w] == 0 ? num_frames : kWindows[w];
      PrecisionRecord& record = records_[w].at(slot, cell.category);
      for (size_t first = 0; first < num_frames; first += length) {
        const FrameSpan span{first, std::min(first + length, num_frames)};
        record.add(match_scene_cell(scene, cell, span, true, {Range{}}), 0);
      }
    }
  }
}

std::vector<std::vector<DiagnosticGroup>> WindowedAp::groups() {
  std::vector<std::vector<DiagnosticGroup>> groups(num_categories_, {{"windows", {}}});
  std::vector<std::vector<DiagnosticStat>> at_half(num_categories_);
  for (size_t w = 0; w < kWindows.size(); ++w) {
    const std::string name = kWindows[w] == 0 ? "full" : std::to_string(kWindows[w]);
    std::vector<PrecisionRecord> sums = records_[w].take_sums();
    for (size_t c = 0; c < num_categories_; ++c) {
      const Precision precision = precision_of(std::move(sums[c]));
      groups[c][0].stats.push_back({{"AP_" + name, precision.ap}});
      at_half[c].push_back({{"AP50_" + name, precision.ap50}});
    }
  }
  for (size_t c = 0; c < num_categories_; ++c) {
    auto& stats = groups[c][0].stats;
    stats.insert(stats.end(), at_half[c].begin(), at_half[c].end());
  }
  return groups;
}

}  // namespace tessera::evaluation
