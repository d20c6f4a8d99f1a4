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

/// --weights is read by the rules of [weights], or by others.
inline void add_rules_option(CLI::App& command, std::string& rules) {
  command
      .add_option("--rules", rules,
                  "Rules for the names of --weights in place of the experiment's: the [weights] of "
                  "this TOML file (experiments/base/weights/*.toml), or none")
      ->type_name("FILE|none");
}

}  // namespace tessera::commands
