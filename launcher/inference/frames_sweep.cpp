#include "launcher/inference/frames_sweep.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "core/error.h"

namespace tessera {

std::vector<FrameCount> parse_frame_counts(const std::vector<std::string>& texts) {
  std::vector<FrameCount> counts;
  for (const std::string& text : texts) {
    FrameCount count;
    if (text != "all") {
      const char* const end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, count.frames);
      if (error != std::errc() || stop != end || count.frames < 1)
        throw ConfigError("--frames-sweep: expected numbers of frames >= 1, or \"all\", got '" +
                          text + "'.");
    }
    counts.push_back(count);
  }
  return counts;
}

SweepRow score_sweep_row(FrameCount frames, const std::filesystem::path& ground_truth,
                         const std::filesystem::path& results) {
  const evaluation::ScoreOptions options{.compatible = true};
  return {frames, results, evaluation::score_files(ground_truth, results, options).stats};
}

std::string sweep_table(const std::vector<SweepRow>& rows) {
  std::string table;
  auto cell = [&](const std::string& text) {
    table += std::string(8 - std::min<size_t>(8, text.size()), ' ') + text;
  };
  for (const SweepRow& row : rows) {
    if (table.empty()) {
      cell("frames");
      for (const evaluation::Stat& stat : row.stats) cell(stat.name);
      table += '\n';
    }
    cell(row.frames.text());
    for (const evaluation::Stat& stat : row.stats) {
      char text[16] = "-";
      if (stat.value != evaluation::kUndefined)
        std::snprintf(text, sizeof(text), "%.2f", 100 * stat.value);
      cell(text);
    }
    table += '\n';
  }
  return table +
         "In percent; '-' = no ground truth. Scored as the reference does (--compatible).\n";
}

nlohmann::ordered_json sweep_json(const std::vector<SweepRow>& rows, const std::string& fill) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const SweepRow& row : rows) {
    nlohmann::ordered_json stats = nlohmann::ordered_json::object();
    for (const evaluation::Stat& stat : row.stats) stats[stat.name] = stat.value;
    nlohmann::ordered_json entry = {{"results", row.results.string()}, {"stats", stats}};
    if (row.frames.is_all())
      entry["frames"] = "all";
    else
      entry["frames"] = row.frames.frames;
    list.push_back(std::move(entry));
  }
  return {{"fill", fill}, {"sweep", list}};
}

}  // namespace tessera
