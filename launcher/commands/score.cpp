#include <iostream>
#include <memory>
#include <string>

#include "launcher/commands/commands.h"
#include "launcher/evaluation/report/score_csv.h"
#include "launcher/evaluation/report/score_json.h"
#include "launcher/evaluation/report/score_table.h"
#include "launcher/evaluation/score.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::commands {
namespace {

struct ScoreArguments {
  std::string ground_truth;
  std::string results;
  std::string protocol = "ytvis";
  std::string csv;  // empty: none
  bool compatible = false;
  bool json = false;
  bool per_category = false;
  bool diagnose = false;
  evaluation::DiagnosticOptions diagnostics;
};

void run(const ScoreArguments& arguments) {
  evaluation::ScoreOptions options{.protocol = evaluation::protocol_from_name(arguments.protocol),
                                   .compatible = arguments.compatible};
  if (!arguments.csv.empty()) expect_writable(arguments.csv);
  if (arguments.diagnose) options.diagnose = arguments.diagnostics;
  const evaluation::ScoreResult result =
      evaluation::score_files(arguments.ground_truth, arguments.results, options);
  if (!arguments.csv.empty()) write_file(arguments.csv, evaluation::score_csv(result));
  std::cout << (arguments.json ? evaluation::score_json(result, options.protocol)
                               : evaluation::score_table(result, arguments.per_category));
}

}  // namespace

void add_score(CLI::App& app) {
  const auto arguments = std::make_shared<ScoreArguments>();
  CLI::App* command =
      app.add_subcommand("score", "Score results.json against ground truth (AP and AR of masks)");
  command->add_option("--ground-truth", arguments->ground_truth, "YouTube-VIS annotation file")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--results", arguments->results,
                   "results.json of 'tessera infer', or a zip archive that holds it")
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
  command
      ->add_option("--csv", arguments->csv,
                   "Also write a row for each category and one for all to this file")
      ->type_name("FILE");
  command->add_flag("--per-category", arguments->per_category, "One row for each category");
  CLI::Option* diagnose = command->add_flag(
      "--diagnose", arguments->diagnose,
      "Also what AP hides: AP by window, HOTA, IDF1, identity switches, what each error costs");
  command
      ->add_option("--score-threshold", arguments->diagnostics.score_threshold,
                   "Predictions that are tracks for HOTA, IDF1, switches, gaps and jitter")
      ->capture_default_str()
      ->needs(diagnose);
  command->footer(
      "Example:\n"
      "  tessera score --ground-truth valid.json --results runs/demo/results.json --per-category\n"
      "  tessera score --ground-truth valid.json --results results.json --diagnose --csv "
      "scores.csv");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace tessera::commands
