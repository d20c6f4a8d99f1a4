#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "launcher/bench/model_bench.h"
#include "launcher/commands/bench_json.h"
#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/freed_memory.h"
#include "launcher/model/autocast.h"

namespace tessera::commands {
namespace {

struct ModelBenchArguments {
  std::vector<std::string> files, overrides;
  std::string json, only, autocast = "none", device = "cpu";
  int threads = 0;
  bench::ModelBenchOptions options;
};

/// The experiment for clips of so many frames, without resizing, in one type.
Experiment load(const ModelBenchArguments& arguments, const std::string& file,
                const std::string& autocast, Registry& registry) {
  std::vector<std::string> overrides{
      "data.num_frames=" + std::to_string(arguments.options.clip.frames),
      "inference.autocast=\"" + autocast + "\"", "train.autocast=\"" + autocast + "\""};
  // The user's come last, so that they win.
  overrides.insert(overrides.end(), arguments.overrides.begin(), arguments.overrides.end());
  Experiment experiment = load_experiment(file, overrides, registry);
  const ClipSize& clip = arguments.options.clip;
  experiment.inference.short_side = std::min(clip.height, clip.width);
  experiment.inference.max_side = std::max(clip.height, clip.width);
  return experiment;
}

void run_model(ModelBenchArguments& arguments) {
  BenchJson json(arguments.json);
  if (arguments.threads > 0) at::set_num_threads(arguments.threads);
  bench::ModelBenchOptions& options = arguments.options;
  options.device = at::Device(arguments.device);
  options.inference = arguments.only.empty() || arguments.only == "inference";
  options.training = arguments.only.empty() || arguments.only == "training";
  keep_freed_memory();  // as training and inference do
  Registry registry(Registry::default_search_paths());
  std::vector<std::vector<std::pair<std::string, Experiment>>> all;
  for (const std::string& file : arguments.files) {
    auto& types = all.emplace_back();
    types.emplace_back("float32", load(arguments, file, "none", registry));
    if (arguments.autocast != "none")
      types.emplace_back(arguments.autocast, load(arguments, file, arguments.autocast, registry));
  }
  nlohmann::ordered_json results{{"what", "model"}, {"models", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < all.size(); ++i) {
    std::printf("%s: ", arguments.files[i].c_str());
    nlohmann::ordered_json result = bench::bench_model(all[i], options);
    result["experiment"] = arguments.files[i];
    results["models"].push_back(std::move(result));
  }
  json.write(results);
}

}  // namespace

void add_bench_model(CLI::App& bench) {
  auto* command = bench.add_subcommand("model", "Whole models: inference and a training step");
  command->footer(
      "Weights and frames are random. Medians of rounds; every part of the model is timed, and "
      "the\n"
      "peak of memory taken. bench/python_models.py times the usual formulations in the same run.\n"
      "Example: tessera bench model experiments/vistr_r50.toml --frames 4 --threads 2");
  const auto arguments = std::make_shared<ModelBenchArguments>();
  command->add_option("experiments", arguments->files, "Experiment files (TOML)")->required();
  command->add_option("--set", arguments->overrides, "Override, key.path=value; may be given again")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  bench::ModelBenchOptions& options = arguments->options;
  command->add_option("--frames", options.clip.frames, "Frames of the clip")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--height", options.clip.height, "Pixels")
      ->capture_default_str()
      ->check(CLI::Range(32, 8192));
  command->add_option("--width", options.clip.width, "Pixels")
      ->capture_default_str()
      ->check(CLI::Range(32, 8192));
  command->add_option("--instances", options.instances, "Objects that the training step learns")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  command->add_option("--rounds", options.rounds, "Timed rounds")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->add_option("--only", arguments->only, "inference or training")
      ->check(CLI::IsMember({"inference", "training"}));
  command
      ->add_option("--autocast", arguments->autocast,
                   "Time this type, too, and compare its outputs with float32")
      ->check(CLI::IsMember(autocast_names()));
  command->add_option("--threads", arguments->threads, "Threads (default: every core)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--device", arguments->device, "cpu or cuda")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  command->add_option("--json", arguments->json, "Write the figures to this file");
  command->callback([arguments] { run_model(*arguments); });
}

}  // namespace tessera::commands
