#pragma once

#include <string>

#include "core/interfaces/auxiliary.h"
#include "launcher/training/train_options.h"

namespace tessera {

/// One of `[[auxiliaries]]`: a network trained beside the model, with an optimiser and a schedule
/// of its own. The schedule's length and unit are the model's.
struct AuxiliaryOptions {
  std::string name;
  PluginOf<Auxiliary> network;
  OptimiserOptions optimiser;
  ScheduleOptions schedule;
  double clip_gradients = 0.0;
  static void describe(Schema<AuxiliaryOptions>& schema);
};

}  // namespace tessera
