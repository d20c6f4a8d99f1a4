#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "launcher/data/image_rules.h"
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

/// How the images of a data set are read, for commands that know no experiment.
inline void add_image_rules(CLI::App& command, data::ImageRules& rules) {
  command.add_flag("--turn-by-exif", rules.turn_by_exif,
                   "Turn images as their EXIF orientation says, as [data] turn_by_exif does");
  command
      .add_option("--white-level", rules.white_level,
                  "Of images of 16 bits: the value that becomes white, as [data] white_level")
      ->check(CLI::PositiveNumber)
      ->type_name("VALUE");
}

}  // namespace tessera::commands
