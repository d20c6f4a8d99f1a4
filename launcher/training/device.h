#pragma once

#include <c10/core/Device.h>

#include "launcher/distributed/world.h"
#include "launcher/training/train_options.h"

namespace tessera {

/// Sets threads, memory allocator and determinism of this process as `options` say and gives the
/// device to work on. The processes of one machine share its processors (see cpu_limits.h) and take
/// its GPUs in turn. Waits for all processes of the world. Call before anything touches a GPU.
/// Throws RuntimeError where "cuda" is asked for and absent.
at::Device prepare_device(const TrainOptions& options, const World& world);

/// The device of a process, the `local_rank`-th of its machine; nothing is set. Throws RuntimeError
/// as prepare_device does.
at::Device choose_device(const TrainOptions& options, int64_t local_rank);

}  // namespace tessera
