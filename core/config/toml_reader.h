#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/config_node.h"

namespace tessera {

/// Parses one TOML text. Throws ConfigError "file:line:column: ...".
TESSERA_API ConfigNode parse_toml(std::string_view text, const std::string& file);

/// Reads an experiment: the file, what it `extends` (paths relative to the extending file, merged
/// in order, the extending file last), then `overrides` ("key.path=value", the value in TOML
/// syntax; a bare word is taken as a string). Merging: tables merge by key, everything else
/// replaces; a table that names another `plugin` than the one below it replaces the whole table,
/// because its options belong to another schema. Throws ConfigError for a missing file, a cycle of
/// `extends`, or a malformed override.
TESSERA_API ConfigNode read_experiment(const std::filesystem::path& file,
                                       const std::vector<std::string>& overrides = {});

/// Lays `upper` over `lower` by the rules of read_experiment.
TESSERA_API void merge_config(ConfigNode& lower, ConfigNode upper);

/// Applies one "key.path=value".
TESSERA_API void apply_override(ConfigNode& root, const std::string& assignment);

}  // namespace tessera
