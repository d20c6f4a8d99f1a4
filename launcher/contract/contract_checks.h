#pragma once

#include <string>
#include <vector>

#include "core/plugin/descriptor.h"
#include "core/plugin/registry.h"

namespace tessera::contract {

struct CheckResult {
  std::string name;  // "shapes at T = 3", "double against float", ...
  bool passed = false;
  std::string problem;  // what was expected and found
};

/// The checks that every plugin must pass, whatever its kind: built with its default options at a
/// tiny size it is documented, refuses unknown keys, gives the shapes its kind promises at T = 1
/// and 3 on non-square batches, has finite gradients, agrees in double and float, repeats itself,
/// and its state moves to a second instance; and what its kind promises beside (the state of a
/// decoder, the tracks of a tracker).
std::vector<CheckResult> check_plugin(const PluginDescriptor& plugin, Registry& registry);

}  // namespace tessera::contract
