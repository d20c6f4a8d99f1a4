#pragma once

#include <string>
#include <vector>

#include "core/plugin/registry.h"

namespace tessera {

/// The keys of a schema as a Markdown table: key (nested ones dotted, those of a list's entries
/// after []), type and range, default, meaning.
/// in: `defaults` as SchemaBase::write gives them.
std::string markdown_table(const SchemaBase& schema, const ConfigNode& defaults);

/// One plugin: a heading, its summary, its options.
std::string plugin_markdown(const PluginDescriptor& plugin);

/// docs/reference/plugins.md: every plugin, by kind and name.
std::string plugins_reference(const std::vector<RegisteredPlugin>& plugins);

/// docs/reference/configuration.md: the sections of an experiment. The same on every machine.
std::string configuration_reference();

}  // namespace tessera
