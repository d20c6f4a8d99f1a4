#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/interfaces/linker.h"
#include "core/interfaces/tracker.h"
#include "launcher/contract/inputs.h"
#include "launcher/contract/named_check.h"

namespace tessera::contract {

/// What a tracker is told of [inference.linker]: the distance of embeddings.
std::shared_ptr<const Linker> make_linker();

/// Runs a tracker on a video of some windows. out: the track of each row of each window. Throws
/// Error where an answer breaks the contract: a track twice in a window, numbers that are not those
/// of the next tracks, other negative numbers than -1, tracks that return after their end.
std::vector<at::Tensor> run_tracker(const Tracker& part, int64_t frames, Numbers& numbers);
/// What a tracker promises of several videos, and of other orders of rows.
std::vector<NamedCheck> tracker_checks(const Tracker& part, int64_t frames);

}  // namespace tessera::contract
