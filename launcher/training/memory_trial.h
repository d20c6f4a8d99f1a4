#pragma once

#include "launcher/distributed/communicator.h"
#include "launcher/training/clip_losses.h"
#include "launcher/training/memory_limit.h"

namespace tessera {

/// What `train.memory` has recomputed: the choice that trial steps on `batch`, the largest that
/// training meets, show to be the fastest within that size; the model does so from now on. A trial
/// is forward pass, losses and backward pass; one that gets beyond the size is given up. What the
/// optimiser's state and the reducer's buckets will take is added, and `other_bytes`, main memory
/// that the caller will take. No tensor of the model is changed. The ranks agree: the largest peak
/// and the slowest step count. On a CPU no other thread of this process may work meanwhile. Throws
/// ConfigError where no choice fits.
ChosenStep choose_by_trial(const Experiment& experiment, VisModel& model, Criterion& criterion,
                           const Auxiliaries& auxiliaries, const ClipBatch& batch,
                           const Targets& targets, const Communicator& communicator,
                           int64_t other_bytes = 0);

}  // namespace tessera
