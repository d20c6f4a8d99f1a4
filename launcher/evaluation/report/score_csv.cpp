#include "launcher/evaluation/report/score_csv.h"

#include <charconv>
#include <vector>

namespace tessera::evaluation {
namespace {

/// Quoted where a comma, a quote or a line break would end the field.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

/// The shortest text that reads back as the same number.
std::string csv_field(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof(text), value).ptr);
}

std::string csv_row(const std::vector<std::string>& start, const std::vector<Stat>& stats,
                    const std::vector<DiagnosticGroup>* groups) {
  std::string text;
  for (const std::string& one : start) text += (text.empty() ? "" : ",") + csv_field(one);
  for (const Stat& stat : stats) text += "," + csv_field(stat.value);
  if (groups == nullptr) return text + "\n";
  for (const DiagnosticGroup& group : *groups) {
    for (const DiagnosticStat& stat : group.stats) text += "," + csv_field(stat.value);
  }
  return text + "\n";
}

}  // namespace

std::string score_csv(const ScoreResult& result) {
  const auto& diagnostics = result.diagnostics;
  std::string text = "category_id,category,num_gt";
  for (const Stat& stat : result.stats) text += "," + csv_field(stat.name);
  if (diagnostics) {
    for (const DiagnosticGroup& group : diagnostics->all) {
      for (const DiagnosticStat& stat : group.stats) {
        text += "," + csv_field(group.name + "." + stat.name);
      }
    }
  }
  text += "\n";
  int64_t num_ground_truth = 0;
  for (size_t c = 0; c < result.categories.size(); ++c) {
    const CategoryScore& category = result.categories[c];
    num_ground_truth += category.num_ground_truth[0];
    text += csv_row({std::to_string(category.category_id), category.name,
                     std::to_string(category.num_ground_truth[0])},
                    category.stats, diagnostics ? &diagnostics->categories[c] : nullptr);
  }
  // The id is empty: a category of the data may be called `all`, too.
  return text + "," +
         csv_row({"all", std::to_string(num_ground_truth)}, result.stats,
                 diagnostics ? &diagnostics->all : nullptr);
}

}  // namespace tessera::evaluation
