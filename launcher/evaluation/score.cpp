#include "launcher/evaluation/score.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <map>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/parallel_for.h"
#include "launcher/evaluation/accumulate.h"
#include "launcher/evaluation/matching.h"
#include "launcher/evaluation/prediction_source.h"
#include "launcher/evaluation/ranges.h"
#include "launcher/evaluation/tracks.h"

namespace tessera::evaluation {
namespace {

using data::at_place;
using data::parallel_for;

/// How one number comes from the curves of the categories.
struct StatRule {
  const char* name;
  bool is_recall = false;
  size_t range = kAll;
  size_t max_detections = kMaxDetections;
  std::optional<size_t> threshold = std::nullopt;  // nothing: mean over all
};

std::vector<StatRule> stat_rules(Protocol protocol) {
  std::vector<StatRule> precision = {{"AP"},
                                     {.name = "AP50", .threshold = 0},
                                     {.name = "AP75", .threshold = 5},
                                     {.name = "APs", .range = kSmall},
                                     {.name = "APm", .range = kMedium},
                                     {.name = "APl", .range = kLarge}};
  std::vector<StatRule> recall = {{.name = "AR1", .is_recall = true, .max_detections = 1},
                                  {.name = "AR10", .is_recall = true, .max_detections = 10},
                                  {.name = "AR100", .is_recall = true},
                                  {.name = "ARs", .is_recall = true, .range = kSmall},
                                  {.name = "ARm", .is_recall = true, .range = kMedium},
                                  {.name = "ARl", .is_recall = true, .range = kLarge}};
  if (protocol == Protocol::kOvis) {
    precision.push_back({.name = "AP_light", .range = kLight});
    precision.push_back({.name = "AP_medium", .range = kModerate});
    precision.push_back({.name = "AP_heavy", .range = kHeavy});
    recall.push_back({.name = "AR_light", .is_recall = true, .range = kLight});
    recall.push_back({.name = "AR_medium", .is_recall = true, .range = kModerate});
    recall.push_back({.name = "AR_heavy", .is_recall = true, .range = kHeavy});
  }
  precision.insert(precision.end(), recall.begin(), recall.end());
  return precision;
}

/// Tracks of one category in one video.
struct Cell {
  std::vector<size_t> predictions;  // in the order of the file
  std::vector<const GroundTruth*> ground_truth;
};

class Scorer {
 public:
  Scorer(const data::AnnotationFile& ground_truth, const Predictions& predictions,
         const ScoreOptions& options)
      : ground_truth_(ground_truth), predictions_(predictions), options_(options) {
    for (size_t i = 0; i < ground_truth.videos.size(); ++i) {
      video_index_[ground_truth.videos[i].id] = i;
    }
    for (const data::Category& category : ground_truth.categories) {
      category_names_[category.id] = &category.name;
    }
  }

  ScoreResult run() {
    check_options();
    prepare_ground_truth();
    prepare_predictions();
    match();
    ScoreResult result = summarize();
    if (options_.diagnose) {
      result.diagnostics =
          diagnose(ground_truth_, predictions_, *options_.diagnose, options_.num_threads);
    }
    return result;
  }

 private:
  void check_options() const {
    if (!options_.diagnose) return;
    if (options_.compatible) {
      throw ConfigError(
          "--diagnose: expected to be used without --compatible, got both. Frames and masks that "
          "do "
          "not fit the video have no meaning for a track: score them first, then put the files "
          "right.");
    }
    if (!std::isfinite(options_.diagnose->score_threshold)) {
      throw ConfigError("--score-threshold: expected a finite number, got " +
                        std::to_string(options_.diagnose->score_threshold) + ".");
    }
  }

  void prepare_ground_truth() {
    truths_.resize(ground_truth_.annotations.size());
    parallel_for(truths_.size(), options_.num_threads, [&](size_t i) {
      const data::Annotation& annotation = ground_truth_.annotations[i];
      const auto place = [&] {
        return ground_truth_.file.string() + ": annotation " + std::to_string(annotation.id) +
               " (video " + std::to_string(annotation.video_id) + ")";
      };
      at_place(place, [&] { prepare(annotation, truths_[i]); });
    });
    for (size_t i = 0; i < truths_.size(); ++i) {
      const data::Annotation& annotation = ground_truth_.annotations[i];
      cells_[{annotation.category_id, annotation.video_id}].ground_truth.push_back(&truths_[i]);
    }
  }

  void prepare(const data::Annotation& annotation, GroundTruth& truth) const {
    if (!options_.compatible) {
      check_fits(annotation.segmentations, ground_truth_.videos[annotation.video_index]);
    }
    fill_areas(truth, annotation.segmentations);
    truth.mean_area = mean_stated_area(annotation);
    truth.is_crowd = annotation.is_crowd;
    truth.match_is_lost = options_.compatible && annotation.id == 0;
    if (options_.protocol != Protocol::kOvis) return;
    if (annotation.occlusion.empty()) {
      throw DataError(
          "expected a key 'occlusion' for the protocol ovis, got none. Is this a "
          "YouTube-VIS file? Then use --protocol ytvis.");
    }
    truth.occlusion = occlusion_score(annotation);
  }

  // Every prediction is checked and put into its cell before any mask is looked at, so that the
  // error for a file is always the same one.
  void prepare_predictions() {
    parallel_for(predictions_.size(), options_.num_threads, [&](size_t i) {
      at_place([&] { return predictions_.place(i); }, [&] { check_entry(predictions_.entry(i)); });
    });
    for (size_t i = 0; i < predictions_.size(); ++i) {
      const ResultIndex::Entry entry = predictions_.entry(i);
      if (!category_names_.contains(entry.category_id)) {
        Masks decoded;  // not scored, but a mask that is none makes the file a broken one
        predictions_.masks(i, decoded);
        continue;
      }
      cells_[{entry.category_id, entry.video_id}].predictions.push_back(i);
    }
  }

  void check_entry(const ResultIndex::Entry& entry) const {
    if (!video_index_.contains(entry.video_id)) {
      throw DataError("'video_id': expected a video of " + ground_truth_.file.string() + ", got " +
                      std::to_string(entry.video_id) + ". Were the results made from another set?");
    }
    if (!options_.compatible && !category_names_.contains(entry.category_id)) {
      std::vector<std::string> known;
      for (const auto& [id, name] : category_names_) known.push_back(std::to_string(id));
      throw DataError("'category_id': expected a category of " + ground_truth_.file.string() +
                      ", got " + std::to_string(entry.category_id) + ". Known: " + join(known) +
                      ".");
    }
    if (!std::isfinite(entry.score)) {
      throw DataError("'score': expected a finite number, got " + std::to_string(entry.score) +
                      ".");
    }
  }

  void prepare(size_t i, Masks& decoded, Prediction& prediction) const {
    const ResultIndex::Entry entry = predictions_.entry(i);
    const data::Video& video = ground_truth_.videos[video_index_.at(entry.video_id)];
    const Masks& masks = predictions_.masks(i, decoded);
    if (!options_.compatible) check_fits(masks, video);
    // The reference's occlusion-aware scorer refuses this too.
    if (options_.protocol == Protocol::kOvis &&
        static_cast<int64_t>(masks.size()) != video.length) {
      check_fits(masks, video);
    }
    fill_areas(prediction, masks);
    prediction.mean_area = mean_area(prediction.areas);
    prediction.score = entry.score;
  }

  void match() {
    std::vector<const Cell*> cells;
    for (const auto& [key, cell] : cells_) cells.push_back(&cell);
    matches_.resize(cells.size());
    const std::vector<Range> ranges = ranges_of(options_.protocol);
    parallel_for(cells.size(), options_.num_threads,
                 [&](size_t i) { matches_[i] = match(*cells[i], ranges); });
    size_t i = 0;
    for (const auto& [key, cell] : cells_) category_matches_[key.first].push_back(&matches_[i++]);
  }

  CellMatches match(const Cell& cell, const std::vector<Range>& ranges) const {
    std::vector<Prediction> predictions(cell.predictions.size());
    std::vector<Masks> decoded(cell.predictions.size());
    std::vector<const Prediction*> pointers;
    for (size_t p = 0; p < predictions.size(); ++p) {
      const size_t i = cell.predictions[p];
      at_place([&] { return predictions_.place(i); },
               [&] { prepare(i, decoded[p], predictions[p]); });
      pointers.push_back(&predictions[p]);
    }
    return match_cell(pointers, cell.ground_truth, ranges);
  }

  ScoreResult summarize() {
    const std::vector<StatRule> rules = stat_rules(options_.protocol);
    // curves[c][r]: category c by ascending id, rule r; rules that share a curve compute it anew,
    // which costs next to nothing beside the masks.
    std::vector<std::pair<int64_t, const std::string*>> categories(category_names_.begin(),
                                                                   category_names_.end());
    std::vector<std::vector<Curve>> curves(categories.size());
    for (const auto& [id, name] : categories) category_matches_[id];
    parallel_for(categories.size(), options_.num_threads, [&](size_t c) {
      const auto& cells = category_matches_.at(categories[c].first);
      for (const StatRule& rule : rules) {
        curves[c].push_back(accumulate(cells, rule.range, rule.max_detections));
      }
    });
    ScoreResult result;
    for (size_t r = 0; r < rules.size(); ++r) {
      result.stats.push_back({rules[r].name, mean_of_defined(curves, r, rules[r])});
    }
    for (size_t c = 0; c < categories.size(); ++c) {
      result.categories.push_back(
          category_score(categories[c].first, *categories[c].second, curves[c], rules));
    }
    return result;
  }

  static double value_of(const Curve& curve, const StatRule& rule) {
    const auto& values = rule.is_recall ? curve.recall : curve.mean_precision;
    if (rule.threshold) return values[*rule.threshold];
    return std::accumulate(values.begin(), values.end(), 0.) / kNumThresholds;
  }

  static double mean_of_defined(const std::vector<std::vector<Curve>>& curves, size_t r,
                                const StatRule& rule) {
    double sum = 0;
    size_t count = 0;
    for (const std::vector<Curve>& of_category : curves) {
      if (!of_category[r].is_defined) continue;
      sum += value_of(of_category[r], rule);
      ++count;
    }
    return count == 0 ? kUndefined : sum / static_cast<double>(count);
  }

  CategoryScore category_score(int64_t id, const std::string& name,
                               const std::vector<Curve>& curves,
                               const std::vector<StatRule>& rules) const {
    CategoryScore category;
    category.category_id = id;
    category.name = name;
    for (const CellMatches* cell : category_matches_.at(id)) {
      for (size_t range = 0; range < kNumAreaRanges; ++range) {
        category.num_ground_truth[range] += cell->ranges[range].num_ground_truth;
      }
      if (options_.protocol != Protocol::kOvis) continue;
      constexpr std::array<size_t, kNumOcclusionRanges> kRanges = {kAll, kLight, kModerate, kHeavy};
      for (size_t i = 0; i < kRanges.size(); ++i) {
        category.num_by_occlusion[i] += cell->ranges[kRanges[i]].num_ground_truth;
      }
    }
    for (size_t r = 0; r < rules.size(); ++r) {
      const bool is_defined = curves[r].is_defined;
      category.stats.push_back(
          {rules[r].name, is_defined ? value_of(curves[r], rules[r]) : kUndefined});
    }
    category.ap_per_iou.fill(kUndefined);
    category.recall_per_iou.fill(kUndefined);
    const Curve& all = curves.front();  // AP: all areas, all thresholds
    if (all.is_defined) {
      category.ap_per_iou = all.mean_precision;
      category.recall_per_iou = all.recall;
    }
    return category;
  }

  const data::AnnotationFile& ground_truth_;
  const Predictions& predictions_;
  ScoreOptions options_;
  std::unordered_map<int64_t, size_t> video_index_;
  std::map<int64_t, const std::string*> category_names_;  // ordered: results are by ascending id
  std::vector<GroundTruth> truths_;
  std::map<std::pair<int64_t, int64_t>, Cell> cells_;  // (category, video), none of them empty
  std::vector<CellMatches> matches_;
  std::map<int64_t, std::vector<const CellMatches*>> category_matches_;  // by ascending video
};

}  // namespace

Protocol protocol_from_name(std::string_view name) {
  if (name == "ytvis") return Protocol::kYtvis;
  if (name == "ovis") return Protocol::kOvis;
  throw ConfigError("protocol: expected ytvis or ovis, got '" + std::string(name) + "'.");
}

double ScoreResult::stat(std::string_view name) const {
  std::vector<std::string> known;
  for (const Stat& stat : stats) {
    if (stat.name == name) return stat.value;
    known.push_back(stat.name);
  }
  throw ConfigError("score: expected the name of a stat, got '" + std::string(name) + "'." +
                    suggestion(name, known));
}

ScoreResult score(const data::AnnotationFile& ground_truth, const Results& results,
                  const ScoreOptions& options) {
  return Scorer(ground_truth, Predictions(results), options).run();
}

ScoreResult score_files(const std::filesystem::path& ground_truth,
                        const std::filesystem::path& results, const ScoreOptions& options) {
  // Results are split by one thread before the others have anything to do, so the ground truth is
  // read meanwhile. Its faults are told first: the future is asked for only when it is whole.
  const auto launch = options.num_threads == 1 ? std::launch::deferred : std::launch::async;
  std::future<std::optional<ResultIndex>> reading =
      std::async(launch, [&] { return ResultIndex::read(results, options.num_threads); });
  const data::AnnotationFile truth =
      data::read_annotations(ground_truth, {.compatible = options.compatible});
  if (const auto index = reading.get()) {
    try {
      return Scorer(truth, Predictions(*index), options).run();
    } catch (const DataError&) {
      // Read again below, where the error is worded with all that is known of its place.
    }
  }
  return score(truth, read_results(results, sizes_of(truth)), options);
}

}  // namespace tessera::evaluation
