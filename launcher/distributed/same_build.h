#pragma once

#include <string>

#include "launcher/distributed/world.h"

namespace tessera {

/// Compares what the ranks are about to run with rank 0: the experiment and every Tessera library
/// that is loaded (plugins among them). Throws ConfigError on every rank, naming what differs
/// where.
void expect_same_everywhere(const World& world, const std::string& resolved_experiment);

}  // namespace tessera
