#include "launcher/weights/patterns.h"

#include "core/error.h"

namespace tessera {

std::regex compile_pattern(const std::string& pattern, const std::string& where) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    throw ConfigError(where + ": expected a regular expression, got '" + pattern + "' (" +
                      error.what() + ").");
  }
}

}  // namespace tessera
