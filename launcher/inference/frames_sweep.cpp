#include "launcher/inference/frames_sweep.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <unordered_map>

#include "core/error.h"
#include "launcher/data/ytvis.h"
#include "launcher/evaluation/results.h"

namespace tessera {
namespace {

// AP_1, AP_4, ... as `tessera score --diagnose` prints them.
std::vector<evaluation::Stat> windowed_stats(const std::filesystem::path& ground_truth,
                                             const std::filesystem::path& results) {
  const data::AnnotationFile truth = data::read_annotations(ground_truth, {});
  std::unordered_map<int64_t, size_t> length_of;
  for (const data::Video& video : truth.videos)
    length_of[video.id] = static_cast<size_t>(video.length);
  evaluation::Results whole = evaluation::read_results(results, evaluation::sizes_of(truth));
  for (evaluation::ResultTrack& track : whole.tracks) {
    const auto length = length_of.find(track.video_id);
    if (length != length_of.end() && track.segmentations.size() < length->second)
      track.segmentations.resize(length->second);
  }
  const evaluation::ScoreResult scored =
      evaluation::score(truth, whole, {.diagnose = evaluation::DiagnosticOptions{}});
  std::vector<evaluation::Stat> stats;
  for (const evaluation::DiagnosticGroup& group : scored.diagnostics->all) {
    if (group.name != "windows") continue;
    for (const evaluation::DiagnosticStat& stat : group.stats)
      if (stat.name.starts_with("AP_")) stats.push_back(stat);
  }
  return stats;
}

}  // namespace

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
  return {frames, results, evaluation::score_files(ground_truth, results, options).stats,
          windowed_stats(ground_truth, results)};
}

std::string sweep_table(const std::vector<SweepRow>& rows) {
  std::string table;
  auto cell = [&](const std::string& text) {
    table += std::string(8 - std::min<size_t>(8, text.size()), ' ') + text;
  };
  for (const SweepRow& row : rows) {
    if (table.empty()) {
      cell("frames");
      for (const auto* stats : {&row.stats, &row.windowed})
        for (const evaluation::Stat& stat : *stats) cell(stat.name);
      table += '\n';
    }
    cell(row.frames.text());
    for (const auto* stats : {&row.stats, &row.windowed}) {
      for (const evaluation::Stat& stat : *stats) {
        char text[16] = "-";
        if (stat.value != evaluation::kUndefined)
          std::snprintf(text, sizeof(text), "%.2f", 100 * stat.value);
        cell(text);
      }
    }
    table += '\n';
  }
  return table +
         "In percent; '-' = no ground truth. AP to ARl as the reference scores (--compatible); "
         "AP_w "
         "in windows of w frames of the whole video.\n";
}

nlohmann::ordered_json sweep_json(const std::vector<SweepRow>& rows, const std::string& fill) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const SweepRow& row : rows) {
    nlohmann::ordered_json stats = nlohmann::ordered_json::object();
    for (const evaluation::Stat& stat : row.stats) stats[stat.name] = stat.value;
    nlohmann::ordered_json windowed = nlohmann::ordered_json::object();
    for (const evaluation::Stat& stat : row.windowed) windowed[stat.name] = stat.value;
    nlohmann::ordered_json entry = {
        {"results", row.results.string()}, {"stats", stats}, {"windowed", windowed}};
    if (row.frames.is_all())
      entry["frames"] = "all";
    else
      entry["frames"] = row.frames.frames;
    list.push_back(std::move(entry));
  }
  return {{"fill", fill}, {"sweep", list}};
}

}  // namespace tessera
