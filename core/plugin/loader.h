#pragma once

#include <filesystem>

#include "core/export.h"
#include "core/plugin/descriptor.h"

namespace tessera {

/// Opens a plugin library, compares its ABI stamp and returns its descriptor. Libraries stay loaded
/// for the life of the process: unloading one that has live objects crashes at exit.
/// Throws PluginError: not a library, missing dependency, no stamp, another ABI, no descriptor.
TESSERA_API const PluginDescriptor& load_plugin_library(const std::filesystem::path& file);

}  // namespace tessera
