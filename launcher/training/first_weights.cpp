#include "launcher/training/first_weights.h"

#include "core/error.h"
#include "launcher/weights/initial_weights.h"
#include "launcher/weights/model_weights.h"

namespace tessera {

void choose_weights(WeightsOptions& options, const WeightsChoice& choice) {
  if (!choice.rules.empty() && choice.weights.empty() && !options.files.empty())
    throw ConfigError(
        "--rules: expected --weights beside it, because each of [[weights.files]] has rules of its "
        "own, got none. Give --weights, or state the rules in weights.files.");
  options = chosen_rules(options, choice.rules);
  if (choice.from_scratch) {
    options.from_scratch = true;
    options.init.reset();
    options.files.clear();
  }
  if (choice.weights.empty()) return;
  options.init = choice.weights;
  options.files.clear();
}

std::vector<FileLoad> load_first_weights(VisModel& model, const Experiment& experiment,
                                         const std::string& file) {
  const WeightsOptions& options = experiment.weights;
  std::vector<FileLoad> loads;
  NameStyle style = NameStyle::kCanonical;
  if (!options.files.empty()) {
    loads = load_weight_files(model, options.files);
  } else if (options.init) {
    if (options.has_composed_names()) style = NameStyle::kComposed;
    loads.push_back({*options.init,
                     load_initial_weights(model, *options.init, options, rule_tables_near(file))});
  }
  std::vector<std::string> loaded;
  for (const FileLoad& load : loads)
    loaded.insert(loaded.end(), load.report.loaded.begin(), load.report.loaded.end());
  expect_no_random_frozen_part(model, style, loaded, experiment.train.frozen, options);
  return loads;
}

}  // namespace tessera
