#pragma once

#include <vector>

#include "core/export.h"
#include "core/plugin/descriptor.h"

namespace tessera {

/// The clip samplers that live in core, in the order of `plugins list`.
TESSERA_API std::vector<const PluginDescriptor*> builtin_samplers();

}  // namespace tessera
