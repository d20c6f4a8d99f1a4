#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "launcher/experiment.h"

namespace tessera::commands {

/// The experiment argument and its overrides, which most commands have.
struct ExperimentArguments {
  std::string file;
  std::vector<std::string> overrides;

  void add_to(CLI::App& command) {
    command.add_option("experiment", file, "Experiment file (TOML)")->required();
    command.add_option("--set", overrides, "Override, key.path=value; may be given again")
        ->type_name("KEY=VALUE")
        ->allow_extra_args(false);
  }
  Experiment load(Registry& registry) const { return load_experiment(file, overrides, registry); }
};

}  // namespace tessera::commands
