#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "launcher/commands/commands.h"
#include "launcher/evaluation/score.h"

namespace tessera::commands {
namespace {

using evaluation::CategoryScore;
using evaluation::ScoreResult;
using evaluation::Stat;
using Json = nlohmann::ordered_json;

struct ScoreArguments {
  std::string ground_truth;
  std::string results;
  std::string protocol = "ytvis";
  bool compatible = false;
  bool json = false;
  bool per_category = false;
};

Json stats_json(const std::vector<Stat>& stats) {
  Json object = Json::object();
  for (const Stat& stat : stats) object[stat.name] = stat.value;
  return object;
}

void print_json(const ScoreResult& result, evaluation::Protocol protocol) {
  Json categories = Json::array();
  for (const CategoryScore& category : result.categories) {
    Json entry = {{"category_id", category.category_id},
                  {"name", category.name},
                  {"num_gt", category.num_ground_truth}};
    if (protocol == evaluation::Protocol::kOvis) entry["num_gt_occ"] = category.num_by_occlusion;
    entry.update(stats_json(category.stats));
    entry["ap_per_iou"] = category.ap_per_iou;
    entry["recall_per_iou"] = category.recall_per_iou;
    categories.push_back(std::move(entry));
  }
  const Json document = {{"stats", stats_json(result.stats)}, {"per_category", categories}};
  std::cout << document.dump(1) << '\n';
}

std::string percent(double value) {
  if (value == evaluation::kUndefined) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", 100 * value);
  return text;
}

std::string padded_left(const std::string& text, size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

std::string padded_right(const std::string& text, size_t width) {
  return text + std::string(width - std::min(width, text.size()), ' ');
}

void print_row(const std::string& name, size_t name_width, int64_t num_tracks,
               const std::vector<Stat>& stats) {
  std::cout << padded_right(name, name_width) << padded_left(std::to_string(num_tracks), 8);
  for (const Stat& stat : stats) {
    std::cout << padded_left(percent(stat.value), std::max<size_t>(8, stat.name.size() + 2));
  }
  std::cout << '\n';
}

void print_table(const ScoreResult& result, bool per_category) {
  size_t name_width = 12;
  int64_t num_tracks = 0;
  for (const CategoryScore& category : result.categories) {
    if (per_category) name_width = std::max(name_width, category.name.size() + 2);
    num_tracks += category.num_ground_truth[0];
  }
  std::cout << padded_right("category", name_width) << padded_left("tracks", 8);
  for (const Stat& stat : result.stats) {
    std::cout << padded_left(stat.name, std::max<size_t>(8, stat.name.size() + 2));
  }
  std::cout << '\n';
  print_row("all", name_width, num_tracks, result.stats);
  if (per_category) {
    for (const CategoryScore& category : result.categories) {
      print_row(category.name, name_width, category.num_ground_truth[0], category.stats);
    }
  }
  std::cout << "In percent; '-' = no ground truth.\n";
}

void run(const ScoreArguments& arguments) {
  const evaluation::ScoreOptions options{
      .protocol = evaluation::protocol_from_name(arguments.protocol),
      .compatible = arguments.compatible};
  const ScoreResult result =
      evaluation::score_files(arguments.ground_truth, arguments.results, options);
  if (arguments.json) {
    print_json(result, options.protocol);
  } else {
    print_table(result, arguments.per_category);
  }
}

}  // namespace

void add_score(CLI::App& app) {
  const auto arguments = std::make_shared<ScoreArguments>();
  CLI::App* command =
      app.add_subcommand("score", "Score results.json against ground truth (AP and AR of masks)");
  command->add_option("--ground-truth", arguments->ground_truth, "YouTube-VIS annotation file")
      ->required()
      ->type_name("FILE");
  command->add_option("--results", arguments->results, "results.json of 'tessera infer'")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--protocol", arguments->protocol,
                   "ytvis: 12 numbers; ovis: 18, with levels of occlusion")
      ->capture_default_str()
      ->type_name("ytvis|ovis");
  command->add_flag("--compatible", arguments->compatible,
                    "Accept what the reference scorer accepts and give its numbers");
  command->add_flag("--json", arguments->json, "Print JSON in full precision, with all categories");
  command->add_flag("--per-category", arguments->per_category, "One row for each category");
  command->footer(
      "Example:\n"
      "  tessera score --ground-truth valid.json --results runs/demo/results.json --per-category");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera::commands
