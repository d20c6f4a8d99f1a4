#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/config/schema.h"
#include "core/plugin/descriptor.h"

namespace tessera {

/// A plugin that the registry knows of.
struct RegisteredPlugin {
  const PluginDescriptor* descriptor = nullptr;
  std::string origin;  // "core" or the library's path
};

/// A library that could not be used, with the reason.
struct BrokenPlugin {
  std::filesystem::path file;
  std::string reason;
};

/// The plugins of one program: an object that main owns and passes on. Libraries are found by name,
/// libtessera_<kind>_<name>.so, in the search path, and opened when first asked for.
class TESSERA_API Registry : public PluginLookup {
 public:
  /// Search paths are tried in order; the parts built into core (augmentations, loss terms,
  /// samplers, trackers) are there at once.
  explicit Registry(std::vector<std::filesystem::path> search_paths);

  /// Adds a plugin that is linked in, or loaded by the caller. Throws PluginError on a duplicate.
  void add(const PluginDescriptor& descriptor, const std::string& origin);
  /// Loads one library and adds its plugin. Throws PluginError.
  const PluginDescriptor& load(const std::filesystem::path& file);

  const PluginDescriptor& find(const std::string& kind, const std::string& name) override;
  std::vector<const PluginDescriptor*> opened(const std::string& kind) const override;

  /// Loads every library of the search path; those that cannot be used go to `broken`.
  std::vector<RegisteredPlugin> scan(std::vector<BrokenPlugin>& broken);
  void add_search_path(const std::filesystem::path& path) { search_paths_.push_back(path); }

  /// The built-in plugin folder beside libtessera_core.so, then TESSERA_PLUGIN_PATH
  /// (':'-separated).
  static std::vector<std::filesystem::path> default_search_paths();

 private:
  std::vector<std::string> known_names(const std::string& kind) const;

  std::vector<std::filesystem::path> search_paths_;
  std::map<std::pair<std::string, std::string>, RegisteredPlugin> plugins_;
};

}  // namespace tessera
