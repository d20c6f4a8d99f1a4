#include <algorithm>
#include <iostream>
#include <set>
#include <sstream>

#include "launcher/commands/commands.h"
#include "launcher/commands/shared_options.h"
#include "launcher/flat_values.h"
#include "launcher/reference/reference.h"
#include "launcher/run_main.h"

namespace tessera::commands {
namespace {

/// "model.encoder.num_layers = 6" for every value of a resolved experiment, by key.
std::vector<std::string> lines_of(const std::string& file, Registry& registry) {
  const Experiment experiment = load_experiment(file, {}, registry);
  std::vector<std::string> lines;
  for (const auto& [key, value] : flat_values(schema_of<Experiment>().write(&experiment)))
    lines.push_back(key + " = " + value);
  std::sort(lines.begin(), lines.end());
  return lines;
}

void show_difference(const std::string& left, const std::string& right) {
  Registry registry(Registry::default_search_paths());
  const auto a = lines_of(left, registry), b = lines_of(right, registry);
  std::vector<std::string> only_a, only_b;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_a));
  std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(only_b));
  for (const auto& line : only_a) std::cout << "- " << line << "\n";
  for (const auto& line : only_b) std::cout << "+ " << line << "\n";
}

}  // namespace

void add_config(CLI::App& app) {
  auto* config = app.add_subcommand("config", "Show, check or compare experiment files");
  config->require_subcommand(1);
  config->footer(
      "Example: tessera config show experiments/vistr_r50.toml --set model.encoder.num_layers=2");

  auto* show = config->add_subcommand("show", "Print the experiment with every default");
  auto shown = std::make_shared<ExperimentArguments>();
  shown->add_to(*show);
  show->footer("Example: tessera config show experiments/vistr_r50.toml");
  show->callback([shown] {
    Registry registry(Registry::default_search_paths());
    std::cout << resolved_toml(shown->load(registry));
  });

  add_config_check(*config);

  auto* reference =
      config->add_subcommand("reference", "Print every key of an experiment, as Markdown");
  reference->footer("Example: tessera config reference > docs/reference/configuration.md");
  reference->callback([] { std::cout << configuration_reference(); });

  auto* diff = config->add_subcommand("diff", "Print what differs between two experiments");
  auto pair = std::make_shared<std::vector<std::string>>();
  diff->add_option("experiments", *pair, "Two experiment files")->required()->expected(2);
  diff->footer(
      "Example: tessera config diff experiments/vistr_r50.toml "
      "experiments/deformable_vistr_r50.toml");
  diff->callback([pair] { show_difference(pair->at(0), pair->at(1)); });
  add_config_size(*config);
}

}  // namespace tessera::commands
