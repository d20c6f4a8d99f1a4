#include "launcher/plugin_project/plugin_project.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/error.h"
#include "launcher/plugin_project/plugin_template.h"
#include "launcher/weights/atomic_file.h"

namespace tessera {
namespace {

/// A kind, and what puts a part of it into an experiment.
struct Kind {
  const char* name;
  const char* type;  // the class of core/interfaces
  const char* use;
};

constexpr std::array<Kind, 14> kKinds = {{
    {"attention", "Attention", "model.encoder.attention.plugin=@name@"},
    {"augmentation", "Augmentation", "'data.augment.steps=[{kind=\"@name@\"}]'"},
    {"auxiliary", "Auxiliary", "auxiliaries=[{name='@name@', network='@name@'}]"},
    {"backbone", "Backbone", "model.backbone.plugin=@name@"},
    {"decoder", "Decoder", "model.decoder.plugin=@name@"},
    {"encoder", "Encoder", "model.encoder.plugin=@name@"},
    {"feature_loss", "FeatureLoss", "loss.features.@name@.plugin=@name@"},
    {"instance_head", "InstanceHead", "model.instance_head.plugin=@name@"},
    {"linker", "Linker", "inference.linker.plugin=@name@"},
    {"loss", "Loss", "loss.terms.@name@.plugin=@name@"},
    {"mask_head", "MaskHead", "model.mask_head.plugin=@name@"},
    {"matcher", "Matcher", "loss.matcher.plugin=@name@"},
    {"sampler", "Sampler", "data.sampling.kind=@name@"},
    {"tracker", "Tracker", "inference.tracker.plugin=@name@"},
}};

const Kind& find_kind(const std::string& name) {
  for (const Kind& kind : kKinds)
    if (kind.name == name) return kind;
  throw ConfigError("plugins new: expected a kind of plugin, got '" + name + "'." +
                    suggestion(name, plugin_project_kinds()));
}

void check_name(const std::string& name) {
  const bool begins_well = !name.empty() && std::islower(static_cast<unsigned char>(name[0])) != 0;
  const bool goes_on_well = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_';
  });
  if (!begins_well || !goes_on_well)
    throw ConfigError(
        "plugins new: expected a name of lower-case letters, digits and '_' that "
        "begins with a letter, got '" +
        name + "'.");
}

/// inter_frame_memory -> InterFrameMemory
std::string class_name(const std::string& name) {
  std::string result;
  bool is_first = true;
  for (const char c : name) {
    if (c == '_') {
      is_first = true;
      continue;
    }
    result += is_first ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    is_first = false;
  }
  return result;
}

std::string_view template_text(const std::string& name) {
  for (const PluginTemplate& file : plugin_templates())
    if (file.name == name) return file.text;
  throw RuntimeError("plugins new: expected the template '" + name +
                     "' in this program, got none.");
}

using Replacements = std::vector<std::pair<std::string, std::string>>;

std::string filled(std::string text, const Replacements& replacements) {
  for (const auto& [from, to] : replacements)
    for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  return text;
}

void expect_empty_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || !std::filesystem::is_directory(folder))
    throw RuntimeError(folder.string() + ": expected to make a folder, got '" + error.message() +
                       "'.");
  if (!std::filesystem::is_empty(folder))
    throw RuntimeError(folder.string() +
                       ": expected a new or an empty folder, got one with files. Choose another "
                       "with --output.");
}

}  // namespace

std::vector<std::string> plugin_project_kinds() {
  std::vector<std::string> names;
  for (const Kind& kind : kKinds) names.emplace_back(kind.name);
  return names;
}

std::vector<std::filesystem::path> write_plugin_project(const std::string& kind,
                                                        const std::string& name,
                                                        const std::filesystem::path& folder) {
  const Kind& known = find_kind(kind);
  check_name(name);
  const Replacements replacements = {
      // First, because the use names the part.
      {"@use@", std::string("tessera train EXPERIMENT.toml --set ") + known.use},
      {"@kind@", known.name},
      {"@Kind@", known.type},
      {"@name@", name},
      {"@Name@", class_name(name)},
      {"@version@", TESSERA_VERSION}};
  const std::vector<std::pair<std::string, std::string>> files = {
      {name + ".cpp", kind + ".cpp"},
      {name + "_test.cpp", "test.cpp"},
      {"CMakeLists.txt", "CMakeLists.txt"},
      {"README.md", "README.md"}};
  expect_empty_folder(folder);
  std::vector<std::filesystem::path> written;
  for (const auto& [file, source] : files) {
    write_file(folder / file, filled(std::string(template_text(source)), replacements));
    written.push_back(folder / file);
  }
  return written;
}

}  // namespace tessera
