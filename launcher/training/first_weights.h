#pragma once

#include <string>

#include "launcher/experiment.h"
#include "launcher/weights/weight_files.h"

namespace tessera {

/// What a command line states about the weights that training starts from; empty: the experiment's.
struct WeightsChoice {
  std::string weights;        // --weights
  std::string rules;          // --rules
  bool from_scratch = false;  // --from-scratch
};

/// Takes a choice over into `[weights]`; a weight file takes the place of weights.files. Throws
/// ConfigError for rules without a file that they could be for.
void choose_weights(WeightsOptions& options, const WeightsChoice& choice);

/// Loads the weights that an experiment starts from into its model, if it names some. in: `file`,
/// the experiment's, beside which rules are looked for. out: what each weight file gave; none:
/// weights are random. Throws what load_initial_weights() and load_weight_files() throw, and
/// ConfigError for a part that would stay random (see expect_no_random_frozen_part).
std::vector<FileLoad> load_first_weights(VisModel& model, const Experiment& experiment,
                                         const std::string& file);

}  // namespace tessera
