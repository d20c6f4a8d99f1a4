#pragma once

#include <string>
#include <utility>
#include <vector>

#include "launcher/evaluation/diagnostics/diagnostics.h"
#include "launcher/report/clips.h"
#include "launcher/report/run_history.h"

namespace tessera::report {

/// One run of a report.
struct ReportedRun {
  std::string name;
  RunHistory history = {};         // empty for a model that was not trained
  double earlier_seconds = 0;      // of training that came before, in another run
  std::string configuration = {};  // resolved.toml, may be empty
  std::vector<std::pair<std::string, double>> score = {};  // 0..1; empty: not scored
  std::vector<evaluation::DiagnosticGroup> diagnostics =
      {};  // of all categories; empty: not scored
};

/// What the page shows. The first run is the one it is about.
struct Page {
  std::string title;
  std::vector<ReportedRun> runs;
  std::vector<ShownVideo> videos;  // of the first run, best first
  size_t best_videos = 0;          // how many of `videos` are the best ones
};

/// One HTML file that needs nothing else: pictures, styles and the script are inside.
std::string html_page(const Page& page);

}  // namespace tessera::report
