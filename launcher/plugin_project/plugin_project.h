#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

/// The kinds of plugins that a project can be made for, by name.
std::vector<std::string> plugin_project_kinds();

/// Writes a CMake project for a new plugin: source, test, CMakeLists.txt and README.md. It builds
/// against an installed Tessera and keeps the contract of its kind as it is.
/// in: `name` as in TOML, lower case; `folder` may exist, but be empty.
/// out: the files written. Throws ConfigError for an unknown kind or a name that cannot be one of a
/// plugin, RuntimeError where the folder holds something or cannot be written.
std::vector<std::filesystem::path> write_plugin_project(const std::string& kind,
                                                        const std::string& name,
                                                        const std::filesystem::path& folder);

}  // namespace tessera
