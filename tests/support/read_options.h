#pragma once

#include <string>

#include "core/config/toml_reader.h"

namespace tessera::test_support {

/// Options as a configuration states them in the table `section`. Throws ConfigError.
template <class Options>
Options read_options(const std::string& toml, const std::string& section = "section") {
  Options options;
  ReadContext context;
  schema_of<Options>().read(&options, parse_toml(toml, "test.toml"), section, context);
  context.throw_if_failed();
  return options;
}

}  // namespace tessera::test_support
