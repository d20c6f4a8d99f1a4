#pragma once

#include <span>
#include <string_view>

namespace tessera {

/// A file of plugin_project/templates, put into the program by CMake.
struct PluginTemplate {
  std::string_view name;  // without .in
  std::string_view text;
};

std::span<const PluginTemplate> plugin_templates();

}  // namespace tessera
