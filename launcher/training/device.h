#pragma once

#include <c10/core/Device.h>

#include "launcher/distributed/world.h"
#include "launcher/training/train_options.h"

namespace tessera {

/// Sets threads, memory allocator and determinism of this process as `options` say and gives the
/// device to work on. The processes of one machine share its processors and take its GPUs in turn.
/// Call before anything touches a GPU. Throws RuntimeError where "cuda" is asked for and absent.
at::Device prepare_device(const TrainOptions& options, const World& world);

}  // namespace tessera
