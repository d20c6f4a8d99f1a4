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
  const OrderedJson document = {{"stats", stats_json(result.stats)}, {"per_category", categories}};
  return document.dump(1) + "\n";
}

}  // namespace tessera::evaluation
