#pragma once

#include <memory>
#include <string>

#include "core/config/toml_reader.h"
#include "core/interfaces/build_context.h"
#include "core/plugin/registry.h"

namespace tessera::test_support {

/// A plugin of the built-in folder, or a built-in part, with options in TOML.
template <class Kind>
std::shared_ptr<Kind> make_plugin(const std::string& name, const std::string& options,
                                  const BuildContext& context = {}) {
  static Registry registry(Registry::default_search_paths());
  PluginOf<Kind> choice(name.c_str());
  ReadContext reading(&registry);
  config_detail::read_plugin(choice, Kind::kKind, parse_toml(options, "test"), Kind::kKind,
                             reading);
  reading.throw_if_failed();
  return context.make(choice);
}

}  // namespace tessera::test_support
