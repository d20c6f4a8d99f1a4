#include "core/plugin/registry.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>

#include "core/augmentations/builtin.h"
#include "core/losses/builtin.h"
#include "core/plugin/loader.h"
#include "core/samplers/builtin.h"
#include "core/trackers/builtin.h"

namespace tessera {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPrefix = "libtessera_";

std::vector<fs::path> libraries_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code ignored;  // a folder of the search path that is not there holds no plugins
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && entry.path().extension() == ".so")
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Registry::Registry(std::vector<fs::path> search_paths) : search_paths_(std::move(search_paths)) {
  for (const auto& builtin :
       {builtin_augmentations(), builtin_losses(), builtin_samplers(), builtin_trackers()})
    for (const PluginDescriptor* descriptor : builtin) add(*descriptor, "core");
}

void Registry::add(const PluginDescriptor& descriptor, const std::string& origin) {
  const auto key = std::pair<std::string, std::string>(descriptor.kind, descriptor.name);
  const auto [entry, inserted] = plugins_.emplace(key, RegisteredPlugin{&descriptor, origin});
  if (!inserted && entry->second.descriptor != &descriptor)
    throw PluginError(origin + ": expected a " + descriptor.kind +
                      " plugin with a name of its own, got '" + descriptor.name + "', which " +
                      entry->second.origin + " has already.");
}

const PluginDescriptor& Registry::load(const fs::path& file) {
  const PluginDescriptor& descriptor = load_plugin_library(file);
  add(descriptor, file.string());
  return descriptor;
}

const PluginDescriptor& Registry::find(const std::string& kind, const std::string& name) {
  if (auto it = plugins_.find({kind, name}); it != plugins_.end()) return *it->second.descriptor;
  const std::string file_name = kPrefix + kind + "_" + name + ".so";
  std::vector<fs::path> found;
  for (const auto& folder : search_paths_)
    if (fs::exists(folder / file_name)) found.push_back(folder / file_name);
  if (found.size() > 1 && !fs::equivalent(found[0], found[1]))
    throw PluginError(found[1].string() + ": expected one " + kind + " plugin named '" + name +
                      "' in the search path, got another at " + found[0].string() + ".");
  if (found.empty())
    throw PluginError("expected a known " + kind + " plugin, got '" + name + "'." +
                      suggestion(name, known_names(kind)) +
                      " See: tessera plugins list; TESSERA_PLUGIN_PATH adds folders.");
  const PluginDescriptor& descriptor = load_plugin_library(found[0]);
  if (descriptor.kind != kind || descriptor.name != name)
    throw PluginError(found[0].string() + ": expected the plugin " + kind + "/" + name + ", got " +
                      descriptor.kind + "/" + descriptor.name + ".");
  add(descriptor, found[0].string());
  return descriptor;
}

std::vector<const PluginDescriptor*> Registry::opened(const std::string& kind) const {
  std::vector<const PluginDescriptor*> found;
  for (const auto& [key, plugin] : plugins_)
    if (key.first == kind) found.push_back(plugin.descriptor);
  return found;
}

std::vector<RegisteredPlugin> Registry::scan(std::vector<BrokenPlugin>& broken) {
  for (const auto& folder : search_paths_) {
    for (const auto& file : libraries_in(folder)) {
      try {
        load(file);
      } catch (const PluginError& error) {
        broken.push_back({file, error.what()});
      }
    }
  }
  std::vector<RegisteredPlugin> all;
  for (const auto& [key, plugin] : plugins_) all.push_back(plugin);
  return all;
}

std::vector<std::string> Registry::known_names(const std::string& kind) const {
  std::set<std::string> names;
  for (const auto& [key, plugin] : plugins_)
    if (key.first == kind) names.insert(key.second);
  const std::string prefix = kPrefix + kind + "_";
  for (const auto& folder : search_paths_)
    for (const auto& file : libraries_in(folder))
      if (const std::string stem = file.stem().string(); stem.starts_with(prefix))
        names.insert(stem.substr(prefix.size()));
  return {names.begin(), names.end()};
}

std::vector<fs::path> Registry::default_search_paths() {
  std::vector<fs::path> paths;
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&Registry::default_search_paths), &info) && info.dli_fname)
    paths.push_back(fs::weakly_canonical(info.dli_fname).parent_path() / "tessera" / "plugins");
  if (const char* extra = std::getenv("TESSERA_PLUGIN_PATH")) {
    std::stringstream stream(extra);
    for (std::string path; std::getline(stream, path, ':');)
      if (!path.empty()) paths.push_back(path);
  }
  return paths;
}

}  // namespace tessera
