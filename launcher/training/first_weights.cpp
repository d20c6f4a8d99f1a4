#include "launcher/training/first_weights.h"

#include "launcher/weights/initial_weights.h"
#include "launcher/weights/model_weights.h"

namespace tessera {

void choose_weights(WeightsOptions& options, const WeightsChoice& choice) {
  options = chosen_rules(options, choice.rules);
  if (choice.from_scratch) {
    options.from_scratch = true;
    options.init.reset();
  }
  if (!choice.weights.empty()) options.init = choice.weights;
}

LoadReport load_first_weights(VisModel& model, const Experiment& experiment,
                              const std::string& file) {
  const WeightsOptions& options = experiment.weights;
  LoadReport report;
  if (options.init)
    report = load_initial_weights(model, *options.init, options, rule_tables_near(file));
  expect_no_random_frozen_part(
      model, options.has_composed_names() ? NameStyle::kComposed : NameStyle::kCanonical,
      report.loaded, experiment.train.frozen, options);
  return report;
}

}  // namespace tessera
