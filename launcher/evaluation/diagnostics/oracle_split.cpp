#include "launcher/evaluation/diagnostics/oracle_split.h"

#include "launcher/evaluation/diagnostics/repairs.h"

namespace tessera::evaluation {
namespace {

void add_scene(const Scene& scene, size_t slot, Records<PrecisionRecord>& records) {
  const FrameSpan all{0, scene.overlaps->num_frames()};
  for (const SceneCell& cell : cells_of(scene)) {
    records.at(slot, cell.category).add(match_scene_cell(scene, cell, all, false, {Range{}}), 0);
  }
}

/// Where a repair leaves nothing to be found, nothing of it is missed.
Precision repaired_precision(PrecisionRecord record, const Precision& before) {
  if (record.num_ground_truth == 0 && before.ap != kUndefined) return {1, 1};
  return precision_of(std::move(record));
}

double gain(double after, double before) {
  return before == kUndefined ? kUndefined : after - before;
}

}  // namespace

OracleSplit::OracleSplit(const DiagnosticSizes& sizes) : num_categories_(sizes.num_categories) {
  for (size_t i = 0; i <= kRepairs.size(); ++i) {
    records_.emplace_back(sizes.num_videos, sizes.num_categories);
  }
}

void OracleSplit::add(size_t slot, const VideoEvidence& video) {
  const Scene scene = scene_of(video.overlaps);
  add_scene(scene, slot, records_[0]);
  for (size_t i = 0; i < kRepairs.size(); ++i) {
    add_scene(kRepairs[i].run(scene), slot, records_[i + 1]);
  }
}

std::vector<std::vector<DiagnosticGroup>> OracleSplit::groups() {
  std::vector<std::vector<DiagnosticGroup>> groups(
      num_categories_, {{"oracle_AP", {}}, {"oracle_gain", {}}, {"oracle_gain50", {}}});
  std::vector<Precision> before;
  for (PrecisionRecord& sum : records_[0].take_sums()) {
    before.push_back(precision_of(std::move(sum)));
    groups[before.size() - 1][0].stats.push_back({{"as_it_is", before.back().ap}});
  }
  for (size_t i = 0; i < kRepairs.size(); ++i) {
    std::vector<PrecisionRecord> sums = records_[i + 1].take_sums();
    for (size_t c = 0; c < num_categories_; ++c) {
      const Precision after = repaired_precision(std::move(sums[c]), before[c]);
      groups[c][0].stats.push_back({{kRepairs[i].name, after.ap}});
      groups[c][1].stats.push_back({{kRepairs[i].name, gain(after.ap, before[c].ap)}});
      groups[c][2].stats.push_back({{kRepairs[i].name, gain(after.ap50, before[c].ap50)}});
    }
  }
  return groups;
}

}  // namespace tessera::evaluation
