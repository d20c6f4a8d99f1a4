#pragma once

#include <vector>

#include "core/plugin/descriptor.h"

namespace tessera {

/// The loss terms and feature losses that live in core, in the order of `plugins list`.
std::vector<const PluginDescriptor*> builtin_losses();

}  // namespace tessera
