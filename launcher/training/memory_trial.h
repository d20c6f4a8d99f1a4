#pragma once

#include "launcher/distributed/communicator.h"
#include "launcher/training/clip_losses.h"
#include "launcher/training/memory_limit.h"

namespace tessera {

/// What `train.memory` has recomputed: the choice that trial steps on `batch`, the largest that
/// training meets, show to be the fastest within that size; the model does so from now on. A trial
/// is forward pass, losses and backward pass; what the optimiser's state and the reducer's buckets
/// will take is added. No tensor of the model is changed. The ranks agree: the largest peak and the
/// slowest step count. Throws ConfigError where no choice fits.
ChosenStep choose_by_trial(const Experiment& experiment, VisModel& model, Criterion& criterion,
                           const Auxiliaries& auxiliaries, const ClipBatch& batch,
                           const Targets& targets, const Communicator& communicator);

}  // namespace tessera
