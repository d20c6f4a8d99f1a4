#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/evaluation/score.h"
#include "launcher/report/page.h"
#include "launcher/training/run_folder.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

struct ReportArguments {
  std::vector<std::string> runs;
  data::ImageRules rules;
  std::string earlier, ground_truth, images, output, title = "Tessera report";
  int64_t clips = 4;
};

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

report::ReportedRun read_run(const fs::path& folder, double earlier_seconds) {
  if (!fs::is_directory(folder))
    throw DataError(folder.string() + ": expected the folder of a run, got none.");
  report::ReportedRun run;
  run.name = fs::weakly_canonical(folder).filename().string();
  if (fs::exists(folder / "metrics.jsonl")) {
    run.history = report::read_history(folder / "metrics.jsonl");
    run.earlier_seconds = earlier_seconds;
    if (fs::exists(folder / "profile.jsonl"))
      run.history.splits = report::read_profile(folder / "profile.jsonl");
  }
  run.configuration = read_text(folder / "resolved.toml");
  return run;
}

void run_report(const ReportArguments& arguments) {
  report::Page page;
  page.title = arguments.title;
  const double earlier =
      arguments.earlier.empty()
          ? 0
          : report::read_history(fs::path(arguments.earlier) / "metrics.jsonl").seconds();
  std::optional<data::AnnotationFile> truth;
  if (!arguments.ground_truth.empty()) truth = data::read_annotations(arguments.ground_truth);
  for (const std::string& folder : arguments.runs) {
    report::ReportedRun run = read_run(folder, earlier);
    const fs::path results_file = fs::path(folder) / "results.json";
    if (truth && fs::exists(results_file)) {
      const evaluation::Results results =
          evaluation::read_results(results_file, evaluation::sizes_of(*truth));
      const evaluation::ScoreResult scored =
          evaluation::score(*truth, results, {.diagnose = evaluation::DiagnosticOptions{}});
      for (const evaluation::Stat& stat : scored.stats)
        run.score.emplace_back(stat.name, stat.value);
      run.diagnostics = scored.diagnostics->all;
      if (page.runs.empty() && !arguments.images.empty()) {
        page.videos = report::choose_clips(*truth, results, {arguments.images, arguments.rules},
                                           {.best = arguments.clips, .worst = arguments.clips});
        page.best_videos = std::min(page.videos.size(), static_cast<size_t>(arguments.clips));
      }
    }
    page.runs.push_back(std::move(run));
  }
  const fs::path output = arguments.output.empty()
                              ? fs::path(arguments.runs.front()) / "report.html"
                              : fs::path(arguments.output);
  write_file(output, report::html_page(page));
  std::cout << "report: " << output.string() << '\n';
}

}  // namespace

void add_report(CLI::App& app) {
  const auto arguments = std::make_shared<ReportArguments>();
  CLI::App* command =
      app.add_subcommand("report", "Write one HTML page about runs: curves, scores, clips");
  command
      ->add_option("runs", arguments->runs,
                   "Run folders (metrics.jsonl, resolved.toml, results.json); the first is the "
                   "one that clips are shown of")
      ->required()
      ->type_name("RUN...");
  command
      ->add_option("--ground-truth", arguments->ground_truth,
                   "Annotation file that each run's results.json is scored against")
      ->type_name("FILE");
  command
      ->add_option("--images", arguments->images,
                   "Folder that its file names start at; without it no clips are shown")
      ->type_name("DIR");
  command
      ->add_option("--earlier", arguments->earlier,
                   "Run whose training came before, such as a backbone's: its time is added")
      ->type_name("RUN");
  command->add_option("--clips", arguments->clips, "Best and worst videos to show, of each")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--title", arguments->title, "Title of the page");
  command
      ->add_option("--output", arguments->output,
                   "HTML file (default: report.html in the "
                   "first run's folder)")
      ->type_name("FILE");
  add_image_rules(*command, arguments->rules);
  command->footer(
      "Example:\n"
      "  tessera report runs/deformable runs/dense --ground-truth valid.json --images "
      "valid/frames");
  command->callback([arguments] { run_report(*arguments); });
}

}  // namespace tessera::commands
