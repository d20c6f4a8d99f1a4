#pragma once

#include <string>
#include <vector>

namespace tessera::report {

/// A value in which runs differ.
struct Difference {
  std::string key;                  // dotted path
  std::vector<std::string> values;  // of each run as TOML text; "" where it has no such key
};

/// in: resolved.toml texts, one a run; "" where a run has none (it is left out of the comparison,
/// its values are ""). out: by key. Throws ConfigError where a text is no TOML.
std::vector<Difference> configuration_differences(const std::vector<std::string>& texts);

}  // namespace tessera::report
