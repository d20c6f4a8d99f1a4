#pragma once

#include <memory>

#include "core/config/schema.h"

namespace tessera {

class Part;
class BuildContext;

/// What a plugin library tells of itself; constant data, exported as the symbol `tessera_plugin`.
/// Read only after the library's ABI stamp was compared (abi.h).
struct PluginDescriptor {
  const char* kind;
  const char* name;
  const char* summary;  // one line
  const SchemaBase& (*schema)();
  std::shared_ptr<void> (*make_options)();
  /// `options` points to what make_options returned, filled and checked by schema().
  std::shared_ptr<Part> (*create)(const void* options, const BuildContext& context);
  /// Options in TOML that `plugins check` makes the part with: those without a default. "" if every
  /// option has one.
  const char* example = "";
};

}  // namespace tessera
