#include "launcher/evaluation/diagnostics/diagnostics.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "launcher/data/parallel_for.h"
#include "launcher/evaluation/diagnostics/hota.h"
#include "launcher/evaluation/diagnostics/identity.h"
#include "launcher/evaluation/diagnostics/idf1.h"
#include "launcher/evaluation/diagnostics/jitter.h"
#include "launcher/evaluation/diagnostics/oracle_split.h"
#include "launcher/evaluation/diagnostics/subset_ap.h"
#include "launcher/evaluation/diagnostics/video_tracks.h"
#include "launcher/evaluation/diagnostics/windowed_ap.h"

namespace tessera::evaluation {
namespace {

using Groups = std::vector<DiagnosticGroup>;

std::vector<std::unique_ptr<Measure>> all_measures(const data::AnnotationFile& ground_truth,
                                                   const DiagnosticSizes& sizes) {
  std::vector<std::unique_ptr<Measure>> measures;
  measures.push_back(std::make_unique<WindowedAp>(sizes));
  measures.push_back(std::make_unique<Hota>(sizes));
  measures.push_back(std::make_unique<Idf1>(sizes));
  measures.push_back(std::make_unique<IdentityKeeping>(sizes));
  measures.push_back(std::make_unique<Jitter>(sizes));
  measures.push_back(std::make_unique<OracleSplit>(sizes));
  measures.push_back(std::make_unique<SubsetAp>(ap_by_track_length(sizes)));
  const auto states_occlusion = [](const data::Annotation& annotation) {
    return !annotation.occlusion.empty();
  };
  if (std::all_of(ground_truth.annotations.begin(), ground_truth.annotations.end(),
                  states_occlusion)) {
    measures.push_back(std::make_unique<SubsetAp>(ap_by_occlusion(sizes)));
  }
  return measures;
}

/// Adds groups; those of a name that is there already are continued.
void append(const Groups& more, Groups& groups) {
  for (const DiagnosticGroup& group : more) {
    const auto found =
        std::find_if(groups.begin(), groups.end(),
                     [&](const DiagnosticGroup& known) { return known.name == group.name; });
    if (found == groups.end()) {
      groups.push_back(group);
    } else {
      found->stats.insert(found->stats.end(), group.stats.begin(), group.stats.end());
    }
  }
}

/// The number for all categories: counts are summed, the others averaged where they are defined.
double over_categories(const std::vector<Groups>& categories, size_t group, size_t stat) {
  double sum = 0;
  double num_defined = 0;
  bool is_count = false;
  for (const Groups& groups : categories) {
    const DiagnosticStat& one = groups[group].stats[stat];
    is_count = one.kind == StatKind::kCount;
    if (one.value == kUndefined) continue;
    sum += one.value;
    ++num_defined;
  }
  if (is_count) return sum;
  return num_defined == 0 ? kUndefined : sum / num_defined;
}

Groups for_all(const std::vector<Groups>& categories) {
  if (categories.empty()) return {};
  Groups all = categories.front();  // for the names
  for (size_t group = 0; group < all.size(); ++group) {
    for (size_t stat = 0; stat < all[group].stats.size(); ++stat) {
      all[group].stats[stat].value = over_categories(categories, group, stat);
    }
  }
  return all;
}

}  // namespace

Diagnostics diagnose(const data::AnnotationFile& ground_truth, const Predictions& predictions,
                     const DiagnosticOptions& options, size_t num_threads) {
  const VideoLoader loader(ground_truth, predictions);
  const auto measures = all_measures(ground_truth, {loader.num_videos(), loader.num_categories()});
  data::parallel_for(loader.num_videos(), num_threads, [&](size_t slot) {
    const VideoTracks video = loader.load(slot);
    const VideoOverlaps overlaps(video);
    const auto sequences = tracking_sequences(video, options.score_threshold);
    for (const auto& measure : measures) measure->add(slot, {overlaps, sequences});
  });
  Diagnostics diagnostics;
  diagnostics.options = options;
  diagnostics.categories.resize(loader.num_categories());
  for (const auto& measure : measures) {
    const std::vector<Groups> groups = measure->groups();
    for (size_t c = 0; c < groups.size(); ++c) append(groups[c], diagnostics.categories[c]);
  }
  diagnostics.all = for_all(diagnostics.categories);
  return diagnostics;
}

}  // namespace tessera::evaluation
