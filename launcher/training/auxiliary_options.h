#pragma once

#include <optional>
#include <string>

#include "core/interfaces/auxiliary.h"
#include "launcher/training/train_options.h"

namespace tessera {

/// One of `[[auxiliaries]]`: a network trained beside the model, with an optimiser of its own. Its
/// schedule has the model's length and unit; load_experiment() fills in the model's where the file
/// states none.
struct AuxiliaryOptions {
  std::string name;
  PluginOf<Auxiliary> network;
  OptimiserOptions optimiser;
  std::optional<ScheduleOptions> schedule;
  double clip_gradients = 0.0;
  static void describe(Schema<AuxiliaryOptions>& schema);
};

}  // namespace tessera
