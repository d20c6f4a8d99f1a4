#pragma once

#include <vector>

#include "core/plugin/descriptor.h"

namespace tessera {

/// The augmentation steps that live in core, in the order of `plugins list`.
std::vector<const PluginDescriptor*> builtin_augmentations();

}  // namespace tessera
