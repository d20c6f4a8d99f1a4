#pragma once

#include <regex>
#include <string>

namespace tessera {

/// The regular expression (ECMAScript, searched anywhere in a name). Throws ConfigError
/// "<where>: expected a regular expression, got ..." where it is malformed.
std::regex compile_pattern(const std::string& pattern, const std::string& where);

}  // namespace tessera
