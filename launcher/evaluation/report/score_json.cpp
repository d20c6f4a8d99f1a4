#include "launcher/evaluation/report/score_json.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace tessera::evaluation {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson stats_json(const std::vector<Stat>& stats) {
  OrderedJson object = OrderedJson::object();
  for (const Stat& stat : stats) object[stat.name] = stat.value;
  return object;
}

OrderedJson groups_json(const std::vector<DiagnosticGroup>& groups) {
  OrderedJson object = OrderedJson::object();
  for (const DiagnosticGroup& group : groups) {
    OrderedJson& stats = object[group.name] = OrderedJson::object();
    for (const DiagnosticStat& stat : group.stats) {
      if (stat.kind == StatKind::kCount) {
        stats[stat.name] = static_cast<int64_t>(stat.value);
      } else {
        stats[stat.name] = stat.value;
      }
    }
  }
  return object;
}

OrderedJson diagnostics_json(const ScoreResult& result) {
  const Diagnostics& diagnostics = *result.diagnostics;
  OrderedJson object = {{"score_threshold", diagnostics.options.score_threshold}};
  object.update(groups_json(diagnostics.all));
  OrderedJson categories = OrderedJson::array();
  for (size_t c = 0; c < result.categories.size(); ++c) {
    OrderedJson entry = {{"category_id", result.categories[c].category_id},
                         {"name", result.categories[c].name}};
    entry.update(groups_json(diagnostics.categories[c]));
    categories.push_back(std::move(entry));
  }
  object["per_category"] = std::move(categories);
  return object;
}

}  // namespace

std::string score_json(const ScoreResult& result, Protocol protocol) {
  OrderedJson categories = OrderedJson::array();
  for (const CategoryScore& category : result.categories) {
    OrderedJson entry = {{"category_id", category.category_id},
                         {"name", category.name},
                         {"num_gt", category.num_ground_truth}};
    if (protocol == Protocol::kOvis) entry["num_gt_occ"] = category.num_by_occlusion;
    entry.update(stats_json(category.stats));
    entry["ap_per_iou"] = category.ap_per_iou;
    entry["recall_per_iou"] = category.recall_per_iou;
    categories.push_back(std::move(entry));
  }
  OrderedJson document = {{"stats", stats_json(result.stats)}, {"per_category", categories}};
  if (result.diagnostics) document["diagnostics"] = diagnostics_json(result);
  return document.dump(1) + "\n";
}

}  // namespace tessera::evaluation
