#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/experiment.h"
#include "launcher/model/model_cost.h"

namespace tessera::commands {
namespace {

struct SizeArguments {
  std::vector<std::string> files, overrides;
  ClipSize clip{5, 360, 640};
  bool json = false;
};

void run(const SizeArguments& arguments) {
  Registry registry(Registry::default_search_paths());
  std::vector<Experiment> experiments;  // every mistake before the first model is made
  for (const std::string& file : arguments.files)
    experiments.push_back(load_experiment(file, arguments.overrides, registry));
  std::vector<ModelCost> costs;
  for (const Experiment& experiment : experiments)
    costs.push_back(measure_model_cost(experiment, arguments.clip));
  std::cout << (arguments.json ? model_cost_json(arguments.files, costs, arguments.clip)
                               : model_cost_table(arguments.files, costs, arguments.clip));
}

}  // namespace

void add_config_size(CLI::App& config) {
  auto* size = config.add_subcommand(
      "size", "Count a model's parameters and multiply-accumulates, part by part");
  const auto arguments = std::make_shared<SizeArguments>();
  size->add_option("experiment", arguments->files, "Experiment files (TOML)")->required();
  size->add_option("--set", arguments->overrides,
                   "Override in every experiment, key.path=value; may be given again")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  size->add_option("--frames", arguments->clip.frames, "Frames of the clip")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  size->add_option("--height", arguments->clip.height, "Its height in pixels")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  size->add_option("--width", arguments->clip.width, "Its width in pixels")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  size->add_flag("--json", arguments->json, "Print JSON");
  size->footer(
      "The model runs once on a clip of noise. Counted: convolutions, matrix products, attention, "
      "sampling at points.\n"
      "Example: tessera config size experiments/seqformer_r50_ytvis2019.toml "
      "experiments/mssts_r50_ytvis2019.toml");
  size->callback([arguments] { run(*arguments); });
}

}  // namespace tessera::commands
