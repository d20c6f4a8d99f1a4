#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/train_once.h"
#include "launcher/distributed/world.h"
#include "launcher/event_log.h"
#include "launcher/report/run_history.h"
#include "launcher/run_main.h"
#include "launcher/sweep/sweep_file.h"
#include "launcher/sweep/sweep_table.h"
#include "launcher/training/preemption.h"
#include "launcher/training/run_folder.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

struct SweepArguments {
  std::string file;
  std::optional<int64_t> seeds;
  std::vector<std::string> overrides, variants;
  std::string output;
  bool table_only = false, log_json = false;
};

/// After every run, so that a sweep that is stopped has a table, too.
void write_tables(const sweep::SweepFile& sweep, const std::vector<sweep::RunScore>& scores,
                  const fs::path& output) {
  write_file(output / "table.md", sweep::markdown_table(sweep, scores));
  write_file(output / "sweep.json", sweep::json_text(sweep, scores));
  write_file(output / "plot.html", sweep::html_plot(sweep, scores));
}

/// The score of a run that is complete, none where it is not.
std::optional<sweep::RunScore> known_score(const sweep::PlannedRun& run, const fs::path& folder) {
  auto score = sweep::read_score(folder);
  if (score && score->resolved != run.resolved)
    throw ConfigError(folder.string() +
                      ": expected a run of this sweep, got one of another "
                      "experiment. Undo the change, or take another --output.");
  return score;
}

/// What the run says of itself: its last validation.
sweep::RunScore score_of(const sweep::PlannedRun& run, const fs::path& folder) {
  const report::RunHistory history = report::read_history(RunFolder(folder, false).metrics());
  if (history.validations.empty())
    throw RuntimeError(folder.string() + ": expected a validation in metrics.jsonl, got none.");
  const report::ValidationPoint& last = history.validations.back();
  return {run.variant,       run.seed,          last.stat("AP"),
          last.stat("AP50"), history.seconds(), run.resolved};
}

int run(const SweepArguments& arguments, const World& world, EventLog& log) {
  world.expect_every_task("sweep");
  const fs::path output = arguments.output.empty()
                              ? fs::path("runs") / fs::path(arguments.file).stem()
                              : fs::path(arguments.output);
  if (arguments.log_json)
    log.open(output / "log", world, "tessera sweep " + arguments.file,
             {{"sweep", arguments.file}, {"output", output.string()}});
  std::ostream nowhere(nullptr);
  const PreemptionGuard guard;
  sweep::SweepFile file = sweep::read_sweep(arguments.file);
  if (arguments.seeds) file.seeds = *arguments.seeds;
  file.set.insert(file.set.end(), arguments.overrides.begin(), arguments.overrides.end());
  if (!arguments.variants.empty())
    for (const std::string& name : arguments.variants)
      if (std::none_of(file.variants.begin(), file.variants.end(),
                       [&](const sweep::Variant& variant) { return variant.name == name; })) {
        std::vector<std::string> known;
        for (const sweep::Variant& variant : file.variants) known.push_back(variant.name);
        throw ConfigError("--variant: expected one of " + join(known) + ", got '" + name + "'." +
                          suggestion(name, known));
      }
  Registry registry(Registry::default_search_paths());
  const std::vector<sweep::PlannedRun> runs = sweep::plan_runs(file, registry);
  std::vector<sweep::RunScore> scores;
  std::vector<const sweep::PlannedRun*> missing;
  for (const sweep::PlannedRun& one : runs) {
    if (const auto score = known_score(one, output / one.folder()))
      scores.push_back(*score);
    else if (!arguments.table_only &&
             (arguments.variants.empty() ||
              std::find(arguments.variants.begin(), arguments.variants.end(), one.variant) !=
                  arguments.variants.end()))
      missing.push_back(&one);
  }
  if (world.is_first())
    std::cout << "sweep: " << runs.size() << " runs, " << scores.size() << " of them complete, "
              << missing.size() << " to do; folder: " << output.string() << '\n';
  for (const sweep::PlannedRun* one : missing) {
    log.tell(world.is_first() ? std::cout : nowhere, "variant",
             "variant " + one->variant + ", seed " + std::to_string(one->seed),
             {{"variant", one->variant}, {"seed", one->seed}});
    TrainArguments train;
    train.experiment = one->experiment;
    train.overrides = one->overrides;
    train.output = (output / one->folder()).string();
    train.resume = "auto";
    const RunResult result = train_once(train, world, guard, log);
    if (result.code != kOk) return result.code;
    const sweep::RunScore score = score_of(*one, train.output);
    scores.push_back(score);
    if (world.is_first()) {
      sweep::write_score(train.output, score);
      write_tables(file, scores, output);
    }
    if (one != missing.back() && any_asked_to_stop(guard, world)) {
      log.warn(world.is_first() ? std::cerr : nowhere, "preempted",
               "preempted after variant " + one->variant + ", seed " + std::to_string(one->seed) +
                   "; run the same line again to go on");
      return kPreempted;
    }
  }
  if (!world.is_first()) return kOk;
  fs::create_directories(output);
  write_tables(file, scores, output);
  std::cout << sweep::markdown_table(file, scores) << "table: " << (output / "table.md").string()
            << "\nplot: " << (output / "plot.html").string() << '\n';
  return kOk;
}

}  // namespace

void add_sweep(CLI::App& app, const World& world, EventLog& log) {
  const auto arguments = std::make_shared<SweepArguments>();
  CLI::App* command = app.add_subcommand(
      "sweep", "Train variants of an experiment on the same data and budget, and compare them");
  command->add_option("file", arguments->file, "Sweep file")->required()->type_name("FILE");
  command->add_option("--seeds", arguments->seeds, "Runs of every variant (default: the file's)")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command
      ->add_option("--set", arguments->overrides,
                   "Override a value of every variant's experiment; repeatable")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command
      ->add_option("--variant", arguments->variants,
                   "Run only this one; repeatable. The table shows all that are complete")
      ->allow_extra_args(false)
      ->type_name("NAME");
  command->add_option("--output", arguments->output, "Folder of the runs (default: runs/<file>)")
      ->type_name("DIR");
  command->add_flag("--table-only", arguments->table_only,
                    "Write the table of what is complete, and run nothing");
  command->add_flag("--log-json", arguments->log_json,
                    "Write what happens, errors included, a JSON object a line, to log.jsonl in "
                    "the folder of the runs (other ranks: log-<rank>.jsonl)");
  command->footer(
      "Runs that are complete are not run again, one that was stopped goes on: run the same line "
      "again.\n"
      "Example:\n"
      "  tessera sweep experiments/sweeps/dense_or_deformable.toml --seeds 3");
  command->callback([arguments, &world, &log] {
    if (const int code = run(*arguments, world, log); code != kOk) throw CLI::RuntimeError(code);
  });
}

}  // namespace tessera::commands
