#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "launcher/commands/commands.h"
#include "launcher/experiment.h"
#include "launcher/preflight/preflight.h"
#include "launcher/run_main.h"
#include "launcher/training/first_weights.h"

namespace tessera::commands {
namespace {

struct ConfigCheckArguments {
  std::vector<std::string> files, overrides;
  WeightsChoice choice;
  bool deep = false, json = false;
  int64_t ranks = 1;
};

void check_files(const ConfigCheckArguments& arguments) {
  Registry registry(Registry::default_search_paths());
  for (const std::string& file : arguments.files) {
    load_experiment(file, arguments.overrides, registry);
    std::cout << file << ": ok\n";
  }
}

preflight::Findings check_deeply(const ConfigCheckArguments& arguments, const std::string& file) {
  preflight::Findings findings;
  std::optional<Experiment> experiment;
  Registry registry(Registry::default_search_paths());
  findings.attempt("experiment", [&] {
    experiment = load_experiment(file, arguments.overrides, registry);
    choose_weights(experiment->weights, arguments.choice);
    return "";
  });
  if (findings.count(preflight::Level::problem) > 0) return findings;
  return preflight::check_experiment(*experiment, file, arguments.ranks);
}

nlohmann::ordered_json json_of(const std::string& file, const preflight::Findings& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const preflight::Finding& finding : findings.list())
    list.push_back({{"level", finding.level == preflight::Level::problem
                                  ? "problem"
                                  : preflight::level_name(finding.level)},
                    {"check", finding.check},
                    {"message", finding.message}});
  return {{"experiment", file},
          {"problems", findings.count(preflight::Level::problem)},
          {"warnings", findings.count(preflight::Level::warning)},
          {"findings", list}};
}

/// out: the command's exit code.
int check_all_deeply(const ConfigCheckArguments& arguments) {
  int problems = 0;
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const std::string& file : arguments.files) {
    const preflight::Findings findings = check_deeply(arguments, file);
    problems += findings.count(preflight::Level::problem);
    if (arguments.json)
      all.push_back(json_of(file, findings));
    else
      std::cout << preflight::findings_table(file, findings) << std::flush;
  }
  // A file name in a message may be of any bytes.
  if (arguments.json)
    std::cout << all.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
  return problems == 0 ? kOk : kConfigError;
}

}  // namespace

void add_config_check(CLI::App& config) {
  auto* check = config.add_subcommand("check", "Check experiment files; every mistake is printed");
  const auto arguments = std::make_shared<ConfigCheckArguments>();
  check->add_option("experiment", arguments->files, "Experiment files (TOML)")->required();
  check->add_option("--set", arguments->overrides, "Override, key.path=value; may be given again")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  CLI::Option* deep = check->add_flag(
      "--deep", arguments->deep,
      "Also build the model, open data and weights, and run one small step: print everything that "
      "would fail later");
  check->add_option("--ranks", arguments->ranks, "Processes that will train together (--deep)")
      ->capture_default_str()
      ->check(CLI::PositiveNumber)
      ->type_name("N")
      ->needs(deep);
  WeightsChoice& choice = arguments->choice;
  check->add_option("--weights", choice.weights, "As of 'tessera train' (--deep)")
      ->type_name("FILE")
      ->needs(deep);
  check->add_option("--rules", choice.rules, "As of 'tessera train' (--deep)")
      ->type_name("FILE|none")
      ->needs(deep);
  check->add_flag("--from-scratch", choice.from_scratch, "As of 'tessera train' (--deep)")
      ->needs(deep);
  check->add_flag("--json", arguments->json, "Print the findings as JSON (--deep)")->needs(deep);
  check->footer(
      "Exit code 2 if there is a mistake or, with --deep, a problem; warnings change nothing.\n"
      "Example:\n"
      "  tessera config check experiments/*.toml\n"
      "  tessera config check --deep --ranks 8 experiments/vistr_r50.toml");
  check->callback([arguments] {
    if (!arguments->deep) return check_files(*arguments);
    if (const int code = check_all_deeply(*arguments); code != kOk) throw CLI::RuntimeError(code);
  });
}

}  // namespace tessera::commands
