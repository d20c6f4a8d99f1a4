#include "launcher/evaluation/report/score_table.h"

#include <algorithm>
#include <cstdio>

namespace tessera::evaluation {
namespace {

std::string percent(double value) {
  if (value == kUndefined) return "-";
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

size_t column_width(const std::string& name) {
  return std::max<size_t>(8, name.size() + 2);
}

std::string table_row(const std::string& name, size_t name_width, int64_t num_tracks,
                      const std::vector<Stat>& stats) {
  std::string text =
      padded_right(name, name_width) + padded_left(std::to_string(num_tracks), column_width(""));
  for (const Stat& stat : stats) text += padded_left(percent(stat.value), column_width(stat.name));
  return text + "\n";
}

std::string shown(const DiagnosticStat& stat) {
  if (stat.kind == StatKind::kFraction) return percent(stat.value);
  if (stat.value == kUndefined) return "-";
  char text[32];
  std::snprintf(text, sizeof(text), stat.kind == StatKind::kCount ? "%.0f" : "%.2f", stat.value);
  return text;
}

std::string group_row(const std::string& name, size_t name_width, const DiagnosticGroup& group) {
  std::string text = padded_right(name, name_width);
  for (const DiagnosticStat& stat : group.stats) {
    text += padded_left(shown(stat), column_width(stat.name));
  }
  return text + "\n";
}

std::string diagnostics_table(const ScoreResult& result, size_t name_width, bool per_category) {
  const Diagnostics& diagnostics = *result.diagnostics;
  std::string text;
  bool has_occlusion = false;
  for (size_t g = 0; g < diagnostics.all.size(); ++g) {
    const DiagnosticGroup& group = diagnostics.all[g];
    has_occlusion = has_occlusion || group.name == "occlusion";
    text += "\n" + padded_right(group.name, name_width);
    for (const DiagnosticStat& stat : group.stats) {
      text += padded_left(stat.name, column_width(stat.name));
    }
    text += "\n" + group_row("all", name_width, group);
    if (!per_category) continue;
    for (size_t c = 0; c < result.categories.size(); ++c) {
      text += group_row(result.categories[c].name, name_width, diagnostics.categories[c][g]);
    }
  }
  char threshold[64];
  std::snprintf(threshold, sizeof(threshold), "%g", diagnostics.options.score_threshold);
  text += std::string("\ntracking, identity: of predictions with a score of at least ") +
          threshold + " (--score-threshold).\n";
  if (!has_occlusion)
    text += "AP by occlusion: the ground truth does not state it for every track.\n";
  return text;
}

}  // namespace

std::string score_table(const ScoreResult& result, bool per_category) {
  size_t name_width = 14;
  int64_t num_tracks = 0;
  for (const CategoryScore& category : result.categories) {
    if (per_category) name_width = std::max(name_width, category.name.size() + 2);
    num_tracks += category.num_ground_truth[0];
  }
  std::string text = padded_right("category", name_width) + padded_left("tracks", column_width(""));
  for (const Stat& stat : result.stats) text += padded_left(stat.name, column_width(stat.name));
  text += "\n" + table_row("all", name_width, num_tracks, result.stats);
  if (per_category) {
    for (const CategoryScore& category : result.categories) {
      text += table_row(category.name, name_width, category.num_ground_truth[0], category.stats);
    }
  }
  if (result.diagnostics) text += diagnostics_table(result, name_width, per_category);
  return text + "In percent" + (result.diagnostics ? ", but for counts and switches" : "") +
         "; '-' = no ground truth.\n";
}

}  // namespace tessera::evaluation
