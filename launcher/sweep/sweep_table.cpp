#include "launcher/sweep/sweep_table.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "launcher/report/chart.h"
#include "launcher/training/seed_scores.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::sweep {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

fs::path score_file(const fs::path& run_folder) {
  return run_folder / "score.json";
}

/// A variant's complete runs.
struct Row {
  std::string name;
  std::vector<SeedScore> ap, ap50;
  double seconds = 0;  // mean

  bool is_empty() const { return ap.empty(); }
};

std::vector<Row> rows_of(const SweepFile& sweep, const std::vector<RunScore>& scores) {
  std::vector<Row> rows;
  for (const Variant& variant : sweep.variants) {
    Row row;
    row.name = variant.name;
    for (const RunScore& score : scores) {
      if (score.variant != variant.name) continue;
      row.ap.push_back({score.seed, score.ap});
      row.ap50.push_back({score.seed, score.ap50});
      row.seconds += score.seconds;
    }
    if (!row.is_empty()) row.seconds /= static_cast<double>(row.ap.size());
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

/// "12.3 +- 0.4" in percent; the deviation of one run is not known.
std::string percent(const std::vector<SeedScore>& scores) {
  const ScoreStatistics statistics = statistics_of(scores);
  const std::string mean = fixed(100 * statistics.mean, 1);
  return scores.size() < 2 ? mean : mean + " ± " + fixed(100 * statistics.deviation, 1);
}

}  // namespace

std::optional<RunScore> read_score(const fs::path& run_folder) {
  std::ifstream stream(score_file(run_folder));
  if (!stream) return std::nullopt;
  try {
    const Json json = Json::parse(stream);
    RunScore score;
    score.variant = json.at("variant");
    score.seed = json.at("seed");
    score.ap = json.at("AP");
    score.ap50 = json.at("AP50");
    score.seconds = json.at("seconds");
    score.resolved = json.at("resolved");
    return score;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(score_file(run_folder).string() +
                    ": expected the score of a sweep's run, got: " + error.what() +
                    ". Remove the file to run again.");
  }
}

void write_score(const fs::path& run_folder, const RunScore& score) {
  const Json json{{"variant", score.variant}, {"seed", score.seed},
                  {"AP", score.ap},           {"AP50", score.ap50},
                  {"seconds", score.seconds}, {"resolved", score.resolved}};
  write_file(score_file(run_folder), json.dump(2) + "\n");
}

std::string markdown_table(const SweepFile& sweep, const std::vector<RunScore>& scores) {
  std::string text = "| variant | AP | AP50 | runs | seconds a run |\n|---|---|---|---|---|\n";
  for (const Row& row : rows_of(sweep, scores)) {
    if (row.is_empty()) {
      text += "| " + row.name + " | - | - | 0 | - |\n";
      continue;
    }
    text += "| " + row.name + " | " + percent(row.ap) + " | " + percent(row.ap50) + " | " +
            std::to_string(row.ap.size()) + " | " + fixed(row.seconds, 0) + " |\n";
  }
  return text;
}

std::string html_plot(const SweepFile& sweep, const std::vector<RunScore>& scores) {
  constexpr double kLabel = 220, kBar = 420, kRow = 30, kTop = 34, kRight = 90;
  const std::vector<Row> rows = rows_of(sweep, scores);
  double most = 0.01;
  for (const Row& row : rows)
    for (const SeedScore& run : row.ap) most = std::max(most, run.score);
  most *= 1.1;
  const double height = kTop + kRow * static_cast<double>(rows.size()) + 10;
  auto x = [&](double score) { return fixed(kLabel + score / most * kBar, 1); };
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " +
      fixed(kLabel + kBar + kRight, 0) + " " + fixed(height, 0) +
      "\" font-family=\"sans-serif\" font-size=\"13\">\n<text x=\"4\" y=\"18\">" +
      report::html_text(sweep.description.empty() ? "AP" : sweep.description + ": AP") +
      "</text>\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    const double top = kTop + kRow * static_cast<double>(i), middle = top + kRow / 2;
    const std::string y = fixed(middle, 1);
    svg += "<text x=\"" + fixed(kLabel - 8, 0) + "\" y=\"" + fixed(middle + 4, 1) +
           "\" text-anchor=\"end\">" + report::html_text(row.name) + "</text>\n";
    if (row.is_empty()) continue;
    const ScoreStatistics statistics = statistics_of(row.ap);
    svg += "<rect x=\"" + x(0) + "\" y=\"" + fixed(top + 6, 1) + "\" width=\"" +
           fixed(statistics.mean / most * kBar, 1) + "\" height=\"" + fixed(kRow - 12, 1) +
           "\" fill=\"#93c5fd\"/>\n";
    if (row.ap.size() > 1)
      svg += "<line x1=\"" + x(std::max(0.0, statistics.mean - statistics.deviation)) + "\" x2=\"" +
             x(statistics.mean + statistics.deviation) + "\" y1=\"" + y + "\" y2=\"" + y +
             "\" stroke=\"#1e3a8a\" stroke-width=\"2\"/>\n";
    for (const SeedScore& run : row.ap)
      svg += "<circle cx=\"" + x(run.score) + "\" cy=\"" + y + "\" r=\"3\" fill=\"#dc2626\"/>\n";
    svg += "<text x=\"" + fixed(kLabel + kBar + 6, 0) + "\" y=\"" + fixed(middle + 4, 1) + "\">" +
           percent(row.ap) + "</text>\n";
  }
  return "<!doctype html>\n<meta charset=\"utf-8\">\n<title>" +
         report::html_text(sweep.description) + "</title>\n" + svg + "</svg>\n";
}

std::string json_text(const SweepFile& sweep, const std::vector<RunScore>& scores) {
  Json json{{"description", sweep.description}, {"variants", Json::array()}};
  for (const Row& row : rows_of(sweep, scores)) {
    Json one{{"name", row.name}, {"runs", Json::array()}};
    for (size_t i = 0; i < row.ap.size(); ++i)
      one["runs"].push_back(
          {{"seed", row.ap[i].seed}, {"AP", row.ap[i].score}, {"AP50", row.ap50[i].score}});
    if (!row.is_empty()) {
      one["AP"] = {{"mean", statistics_of(row.ap).mean},
                   {"deviation", statistics_of(row.ap).deviation}};
      one["AP50"] = {{"mean", statistics_of(row.ap50).mean},
                     {"deviation", statistics_of(row.ap50).deviation}};
      one["seconds"] = row.seconds;
    }
    json["variants"].push_back(std::move(one));
  }
  return json.dump(2) + "\n";
}

}  // namespace tessera::sweep
