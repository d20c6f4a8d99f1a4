#include <ATen/Context.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/commands/train_once.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/distributed/communicator.h"
#include "launcher/distributed/same_build.h"
#include "launcher/distributed/supervisor.h"
#include "launcher/distributed/world.h"
#include "launcher/event_log.h"
#include "launcher/model/criterion_stages.h"
#include "launcher/model/noise_clip.h"
#include "launcher/run_main.h"
#include "launcher/training/device.h"
#include "launcher/training/first_weights.h"
#include "launcher/training/memory_trial.h"
#include "launcher/training/optimiser.h"
#include "launcher/training/preemption.h"
#include "launcher/training/run_lock.h"
#include "launcher/training/seed_scores.h"
#include "launcher/training/trainer.h"
#include "launcher/weights/initial_weights.h"

namespace tessera::commands {
namespace {

namespace fs = std::filesystem;

/// Where the run begins. Refuses to go on with an experiment that would not be the same run.
TrainState starting_state(const std::optional<fs::path>& checkpoint, const std::string& resolved,
                          bool allow_changes, Registry& registry) {
  if (!checkpoint) return {};
  TrainState state = read_train_state(*checkpoint);
  const auto differences =
      experiment_differences(resolved_again(state.experiment, registry), resolved);
  if (!allow_changes && !differences.empty())
    throw ConfigError(
        checkpoint->string() + ": expected the experiment that it was made with, got changes:\n  " +
        join(differences, "\n  ") + "\nUndo them, or pass --allow-changes to go on all the same.");
  return state;
}

void tell_model(const VisModel& model, std::ostream& out, EventLog& log) {
  int64_t parameters = 0, trained = 0;
  for (const auto& [name, tensor, is_parameter, is_memory] : model.named_tensors()) {
    if (!is_parameter) continue;
    parameters += tensor.numel();
    if (tensor.requires_grad()) trained += tensor.numel();
  }
  log.tell(out, "model",
           "model: " + std::to_string(parameters) + " parameters, " + std::to_string(trained) +
               " of them trained",
           {{"parameters", parameters}, {"trained", trained}});
}

/// Where to go on, the same on every rank: rank 0 looks, and puts damaged files aside.
std::optional<fs::path> shared_checkpoint(const RunFolder& folder, const std::string& resume,
                                          const World& world, EventLog& log) {
  std::string found;
  if (world.is_first()) {
    std::stringstream notes;
    if (const auto file = find_checkpoint(folder, resume, notes)) found = file->string();
    for (std::string note; std::getline(notes, note);)
      log.warn(std::cerr, "damaged_checkpoint", note);
  }
  found = world.from_first(found);
  if (found.empty()) return std::nullopt;
  return fs::path(found);
}

/// What is known of a job of several ranks that this run folder saw end too early.
void show_last_words(const fs::path& records, std::ostream& out, EventLog& log) {
  std::ifstream failure(records / "failure.txt");
  std::string message;
  if (std::getline(failure, message))
    log.warn(out, "earlier_failure", "the job before ended: " + message);
}

EventLog::Fields result_fields(const TrainResult& result) {
  EventLog::Fields fields{{"iteration", result.iteration},
                          {"checkpoint", result.checkpoint.string()},
                          {"preempted", result.preempted},
                          {"stopped_early", result.stopped_early}};
  if (result.best) fields["best_AP"] = *result.best;
  return fields;
}

/// train.recompute, or what train.memory makes of it.
void choose_recomputed_parts(const Experiment& experiment, VisModel& model, Criterion& criterion,
                             const Auxiliaries& auxiliaries, const data::ClipDataset& dataset,
                             int64_t clips, at::Device device, const Communicator& communicator,
                             std::ostream& out, EventLog& log) {
  if (experiment.train.memory.empty()) {
    model.recompute_activations(
        Recomputed::parts(experiment.train.recompute, experiment.train.mask_rows));
    return;
  }
  const data::ClipExtent largest = dataset.largest_clip(clips);
  log.tell(out, "memory_trials",
           "memory: trial steps on " + std::to_string(clips) + " clip(s) of the largest size, " +
               largest.text());
  ClipBatch batch = noise_clip({largest.frames, largest.height, largest.width},
                               model.needs().size_divisor, clips);
  Targets targets = moving_targets(batch, largest.instances, experiment.data.num_categories);
  // The loader holds whole steps' batches ready.
  int64_t ready = 0;
  for (const ClipTargets& target : targets) ready += static_cast<int64_t>(target.masks.nbytes());
  ready += static_cast<int64_t>(batch.frames.nbytes());
  ready =
      device.is_cpu() ? (experiment.data.workers + 1) * experiment.train.accumulation * ready : 0;
  move_to(device, training_type(experiment.train), batch, targets);
  const ChosenStep chosen = choose_by_trial(experiment, model, criterion, auxiliaries, batch,
                                            targets, communicator, ready);
  log.tell(out, "memory_choice",
           "memory: recomputing " + text_of(chosen.recomputed) + ": " +
               memory_size_text(chosen.cost.peak_bytes) + " of at most " + experiment.train.memory);
}

/// The weights of the first step.
void start_from_weights(VisModel& model, const Experiment& experiment,
                        const TrainArguments& arguments, std::ostream& out, EventLog& log) {
  const auto loads = load_first_weights(model, experiment, arguments.experiment);
  for (const FileLoad& load : loads)
    log.tell(out, "weights", "weights: " + load.file + ": " + load.report.text(),
             {{"weights", load.file}});
  if (loads.empty()) log.tell(out, "weights", "weights: random");
}

fs::path output_of(const TrainArguments& arguments) {
  return arguments.output.empty() ? fs::path("runs") / fs::path(arguments.experiment).stem()
                                  : fs::path(arguments.output);
}

}  // namespace

RunResult train_once(const TrainArguments& arguments, const World& world,
                     const PreemptionGuard& guard, EventLog& log) {
  Registry registry(Registry::default_search_paths());
  Experiment experiment = load_experiment(arguments.experiment, arguments.overrides, registry);
  choose_weights(experiment.weights, {arguments.weights, arguments.rules, arguments.from_scratch});
  const TrainOptions& options = experiment.train;
  const int64_t clips = clips_per_part(options, world.size());
  std::ostream nowhere(nullptr);
  std::ostream& out = world.is_first() && !arguments.quiet ? std::cout : nowhere;
  const std::string resolved = resolved_toml(experiment);
  expect_same_everywhere(world, resolved);
  // Before anything in the folder is looked at. Held until this function ends, or the process.
  std::optional<RunLock> lock;
  if (world.is_first()) lock.emplace(output_of(arguments), log);
  const RunFolder folder(output_of(arguments), /*cleans=*/world.is_first());
  TrainSettings settings;
  settings.resume = shared_checkpoint(folder, arguments.resume, world, log);
  if (!settings.resume) expect_initial_weights(experiment.weights, arguments.experiment);
  const TrainState state =
      starting_state(settings.resume, resolved, arguments.allow_changes, registry);
  if (world.is_first()) {
    folder.expect_no_checkpoint_after(state.iteration);
    folder.write_resolved(resolved);
    show_last_words(rank_records(folder.path()), out, log);
    fs::remove_all(rank_records(folder.path()));
  }
  log.tell(out, "run", "run folder: " + folder.path().string(),
           {{"run_folder", folder.path().string()}, {"seed", options.seed}});

  const at::Device device = prepare_device(options, world);
  const Communicator communicator(world, device, options.distributed);
  Supervisor supervisor(world, communicator, options.distributed, rank_records(folder.path()),
                        [&log](const std::string& reason) { log.end(reason, kRuntimeError); });
  try {
    at::manual_seed(static_cast<uint64_t>(options.seed));
    VisModel model(experiment.model, experiment.clip_facts());
    freeze_parts(model, options);
    if (settings.resume) {
      log.tell(out, "resume",
               "going on from " + settings.resume->string() + " at iteration " +
                   std::to_string(state.iteration),
               {{"checkpoint", settings.resume->string()}, {"iteration", state.iteration}});
    } else {
      start_from_weights(model, experiment, arguments, out, log);
    }
    Criterion criterion(experiment.loss, model.facts(), criterion_stages(model));
    const auto auxiliaries = make_auxiliaries(experiment, model.facts());
    const at::ScalarType type = training_type(options);
    move_to(device, type, model);
    move_to(device, type, criterion);
    for (const auto& auxiliary : auxiliaries) move_to(device, type, *auxiliary);
    tell_model(model, out, log);

    const auto dataset =
        std::make_shared<const data::ClipDataset>(experiment.data, experiment.data.train, "train");
    for (const std::string& warning : dataset->warnings())
      log.tell(out, "data_warning", "warning: " + warning);
    choose_recomputed_parts(experiment, model, criterion, auxiliaries, *dataset, clips, device,
                            communicator, out, log);
    data::ClipLoader loader(dataset, {.batch_size = clips * options.accumulation,
                                      .seed = static_cast<uint64_t>(options.seed),
                                      .position = state.consumed_samples,
                                      .size_divisor = model.needs().size_divisor,
                                      .rank = world.rank(),
                                      .num_ranks = world.size(),
                                      .workers = experiment.data.workers});
    log.tell(out, "data",
             "data: " + std::to_string(dataset->size()) +
                 " clips an epoch; device: " + device.str() +
                 (world.size() > 1 ? "; ranks: " + std::to_string(world.size()) : ""),
             {{"clips", dataset->size()}, {"device", device.str()}});

    settings.stop_at = arguments.iterations;
    settings.samples_per_epoch = static_cast<double>(dataset->size());
    settings.experiment = resolved;
    settings.categories = data::json_text(dataset->categories());
    settings.progress = arguments.quiet ? nullptr : &std::cout;
    settings.terminal = isatty(STDOUT_FILENO) != 0;
    settings.stop_requested = [&guard] { return guard.requested(); };
    settings.communicator = &communicator;
    settings.supervisor = &supervisor;
    settings.profile = arguments.profile;
    settings.log = &log;
    const TrainResult result =
        train(experiment, model, criterion, auxiliaries, loader, folder, settings, device);
    supervisor.finish();
    out << "checkpoint: " << result.checkpoint.string() << '\n'
        << "weights for inference: " << folder.last_weights().string() << '\n';
    if (options.ema) out << "averaged weights: " << folder.averaged_weights().string() << '\n';
    if (result.best)
      out << "best weights: " << folder.best_weights().string() << " (AP " << 100 * *result.best
          << ")\n";
    if (result.stopped_early)
      log.tell(out, "patience",
               "training ended early at iteration " + std::to_string(result.iteration) +
                   ": no higher AP in " + std::to_string(*options.patience) +
                   " validations (train.patience)",
               {{"iteration", result.iteration}});
    out << "metrics: " << folder.metrics().string() << std::endl;
    log.write(EventLog::Level::info, "result",
              "trained to iteration " + std::to_string(result.iteration), result_fields(result));
    if (!result.preempted) return {kOk, result.best};
    log.warn(world.is_first() ? std::cerr : nowhere, "preempted",
             "preempted at iteration " + std::to_string(result.iteration) +
                 ", checkpoint written, run again with --resume auto");
    return {kPreempted, result.best};
  } catch (const std::exception& error) {
    supervisor.fail(error);  // the other ranks end with this message
    throw;
  }
}

bool any_asked_to_stop(const PreemptionGuard& guard, const World& world) {
  for (const std::string& asked : world.gather_everywhere(guard.requested() ? "1" : ""))
    if (!asked.empty()) return true;
  return false;
}

namespace {

/// One run, or `train.seeds` of them in folders of their own, as figures with a deviation need.
int run(const TrainArguments& arguments, const World& world, EventLog& log) {
  world.expect_every_task("train");
  const fs::path output = output_of(arguments);
  // First of all, so that it also says why a command did not begin.
  if (arguments.log_json)
    log.open(output / "log", world, "tessera train " + arguments.experiment,
             {{"experiment", arguments.experiment}, {"output", output.string()}});
  // One for the whole command: a signal that comes before the first step or between two seeds is
  // not forgotten.
  const PreemptionGuard guard;
  Registry registry(Registry::default_search_paths());
  const TrainOptions options =
      load_experiment(arguments.experiment, arguments.overrides, registry).train;
  if (options.seeds == 1) return train_once(arguments, world, guard, log).code;
  std::optional<RunLock> lock;  // of the seeds' common folder
  if (world.is_first()) lock.emplace(output, log);
  std::vector<SeedScore> scores;
  for (int64_t seed = options.seed; seed < options.seed + options.seeds; ++seed) {
    TrainArguments one = arguments;
    one.overrides.push_back("train.seed=" + std::to_string(seed));
    one.overrides.push_back("train.seeds=1");
    one.output = (output / ("seed-" + std::to_string(seed))).string();
    const RunResult result = train_once(one, world, guard, log);
    if (result.code != kOk) return result.code;
    if (result.best) scores.push_back({seed, *result.best});
    if (seed + 1 < options.seed + options.seeds && any_asked_to_stop(guard, world)) {
      std::ostream nowhere(nullptr);
      log.warn(world.is_first() ? std::cerr : nowhere, "preempted",
               "preempted after seed " + std::to_string(seed) +
                   ", checkpoint written, run again with --resume auto");
      return kPreempted;
    }
  }
  if (!world.is_first() || (arguments.quiet && scores.empty())) return kOk;
  if (scores.empty()) {
    std::cout << "scores of the seeds: none, because train.evaluate_every is 0\n";
    return kOk;
  }
  const ScoreStatistics statistics = statistics_of(scores);
  write_seed_scores(output / "seeds.json", scores);
  if (arguments.quiet) return kOk;
  std::cout << scores.size() << " seeds: AP " << 100 * statistics.mean << " +- "
            << 100 * statistics.deviation << " (" << (output / "seeds.json").string() << ")\n";
  return kOk;
}

}  // namespace

void add_train(CLI::App& app, const World& world, EventLog& log) {
  const auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "Train an experiment");
  command->add_option("experiment", arguments->experiment, "Experiment file")
      ->required()
      ->type_name("EXP");
  command
      ->add_option("--set", arguments->overrides, "Override a value of the experiment; repeatable")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command->add_option("--output", arguments->output, "Run folder (default: runs/<experiment>)")
      ->type_name("DIR");
  command
      ->add_option(
          "--weights", arguments->weights,
          "What the model starts from, by the rules of [weights]: weights.init (safetensors, "
          "or an official .pth or .pkl)")
      ->type_name("FILE");
  add_rules_option(*command, arguments->rules);
  command->add_flag("--from-scratch", arguments->from_scratch,
                    "Train without the weights that the recipe starts from, and with frozen parts "
                    "that have none");
  command
      ->add_option("--resume", arguments->resume,
                   "auto: go on from the run folder's newest checkpoint, or begin where there is "
                   "none; or a checkpoint")
      ->type_name("auto|PATH");
  command
      ->add_option("--iterations", arguments->iterations,
                   "Stop after so many iterations in all; the schedule stays the experiment's")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command->add_flag("--allow-changes", arguments->allow_changes,
                    "Resume although the experiment was changed since");
  command->add_flag("--profile", arguments->profile,
                    "Write where each step's time goes, a JSON object a step, to profile.jsonl in "
                    "the run folder (other ranks: profile-<rank>.jsonl)");
  command->add_flag(
      "--log-json", arguments->log_json,
      "Write what happens, errors included, a JSON object a line, to log.jsonl in the run "
      "folder (other ranks: log-<rank>.jsonl)");
  command->add_flag("--quiet", arguments->quiet, "Print nothing but errors");
  command->footer(
      "Started by mpirun or srun, the processes train as one.\n"
      "Exit code 6: stopped by SIGTERM or SIGINT with a checkpoint written; run again.\n"
      "Example:\n"
      "  tessera train experiments/smoke/deformable_vistr.toml --set train.seed=3 --output runs/a\n"
      "  mpirun -np 2 tessera train experiments/smoke/simvtr.toml --set train.total_batch=2 "
      "--quiet --log-json");
  command->callback([arguments, &world, &log] {
    if (const int code = run(*arguments, world, log); code != kOk) throw CLI::RuntimeError(code);
  });
}

}  // namespace tessera::commands
