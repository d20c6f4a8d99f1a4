#pragma once

#include <cstdint>
#include <string>

#include "launcher/experiment.h"
#include "launcher/preflight/findings.h"

namespace tessera::preflight {

/// Checks everything about an experiment that can fail after it was read, without training: batch
/// and ranks, device, model, initial weights, losses, groups of the optimiser, one small step, data
/// sets, categories, validation, windows, and the memory of a window of a whole video. The same
/// functions as in training are called, and every check is made whatever the others found.
/// in: `file`, the experiment's; `ranks`, processes that will train together.
Findings check_experiment(const Experiment& experiment, const std::string& file, int64_t ranks);

}  // namespace tessera::preflight
