#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launcher/sweep/sweep_file.h"

namespace tessera::sweep {

/// What one run came to: the scores of its last validation.
struct RunScore {
  std::string variant;
  int64_t seed = 0;
  double ap = 0, ap50 = 0;  // 0..1
  double seconds = 0;       // of training
  std::string resolved;     // what was run
};

/// `score.json` of a run folder, written when the run is complete; none: it is not.
/// Throws DataError where the file is another.
std::optional<RunScore> read_score(const std::filesystem::path& run_folder);
void write_score(const std::filesystem::path& run_folder, const RunScore& score);

/// A Markdown table, one line a variant in the sweep's order: mean and deviation (of the sample) of
/// AP and AP50 in percent over the runs that are complete, and their time.
std::string markdown_table(const SweepFile& sweep, const std::vector<RunScore>& scores);

/// A page with the same as a picture: a bar for each variant's mean AP, a line for its deviation, a
/// dot for each run.
std::string html_plot(const SweepFile& sweep, const std::vector<RunScore>& scores);

/// The same as JSON, for scripts.
std::string json_text(const SweepFile& sweep, const std::vector<RunScore>& scores);

}  // namespace tessera::sweep
