#include "core/config/toml_reader.h"

#include <toml++/toml.h>
#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

Source source_of(const toml::node& node, const std::string& file) {
  const auto begin = node.source().begin;
  return {file, static_cast<int>(begin.line), static_cast<int>(begin.column)};
}

ConfigNode convert(const toml::node& node, const std::string& file) {
  ConfigNode out;
  out.source = source_of(node, file);
  if (auto* table = node.as_table()) {
    for (const auto& [key, child] : *table) {
      ConfigNode value = convert(child, file);
      // The key's own place is where a reader looks for a mistake.
      const auto begin = key.source().begin;
      value.source = {file, static_cast<int>(begin.line), static_cast<int>(begin.column)};
      out.table().emplace_back(std::string(key.str()), std::move(value));
    }
    // toml++ sorts keys; users expect the order that they wrote.
    std::stable_sort(out.table().begin(), out.table().end(), [](const auto& a, const auto& b) {
      return std::pair(a.second.source.line, a.second.source.column) <
             std::pair(b.second.source.line, b.second.source.column);
    });
  } else if (auto* array = node.as_array()) {
    ConfigNode::Array items;
    for (const auto& child : *array) items.push_back(convert(child, file));
    out.value = std::move(items);
  } else if (auto boolean = node.as_boolean()) {
    out.value = boolean->get();
  } else if (auto integer = node.as_integer()) {
    out.value = integer->get();
  } else if (auto number = node.as_floating_point()) {
    out.value = number->get();
  } else if (auto text = node.as_string()) {
    out.value = text->get();
  } else {
    throw ConfigError(out.source.text() +
                      ": expected a boolean, number, string, array or table, got a date or time. "
                      "Write it as a string.");
  }
  return out;
}

std::string read_text(const fs::path& file, const std::string& wanted_by) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream || fs::is_directory(file))
    throw ConfigError(
        (wanted_by.empty() ? std::string() : wanted_by + ": ") +
        "expected an experiment file at '" + file.string() + "', got " +
        (fs::is_directory(file) ? std::string("a folder") : std::string(std::strerror(errno))) +
        ".");
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<fs::path> bases_of(ConfigNode& root, const fs::path& file) {
  std::vector<fs::path> bases;
  auto& table = root.table();
  auto it = std::find_if(table.begin(), table.end(), [](auto& e) { return e.first == "extends"; });
  if (it == table.end()) return bases;
  auto add = [&](const ConfigNode& node) {
    auto* name = std::get_if<std::string>(&node.value);
    if (!name)
      throw ConfigError(node.source.text() +
                        ": extends: expected a file name or a list of file names, got " +
                        node.description() + ".");
    bases.push_back(file.parent_path() / *name);
  };
  if (it->second.is_array())
    for (const auto& item : it->second.array()) add(item);
  else
    add(it->second);
  table.erase(it);
  return bases;
}

ConfigNode read_with_bases(const fs::path& file, const std::string& wanted_by,
                           std::vector<fs::path>& chain) {
  const std::string text = read_text(file, wanted_by);
  const fs::path canonical = fs::weakly_canonical(file);
  if (std::find(chain.begin(), chain.end(), canonical) != chain.end()) {
    std::string cycle;
    for (const auto& link : chain) cycle += link.filename().string() + " -> ";
    throw ConfigError(wanted_by + ": extends: expected no cycle, got " + cycle +
                      canonical.filename().string() + ".");
  }
  chain.push_back(canonical);
  ConfigNode top = parse_toml(text, file.string());
  const ConfigNode* extends = top.find("extends");
  const std::string here = extends ? extends->source.text() : file.string();
  ConfigNode merged;
  merged.source = {file.string(), 1, 1};
  for (const auto& base : bases_of(top, file))
    merge_config(merged, read_with_bases(base, here, chain));
  merge_config(merged, std::move(top));
  chain.pop_back();
  return merged;
}

}  // namespace

ConfigNode parse_toml(std::string_view text, const std::string& file) {
  try {
    const toml::table table = toml::parse(text, file);
    return convert(table, file);
  } catch (const toml::parse_error& error) {
    const auto at = error.source().begin;
    throw ConfigError(Source{file, static_cast<int>(at.line), static_cast<int>(at.column)}.text() +
                      ": expected valid TOML, got: " + std::string(error.description()) + ".");
  }
}

void merge_config(ConfigNode& lower, ConfigNode upper) {
  if (!lower.is_table() || !upper.is_table()) {
    lower = std::move(upper);
    return;
  }
  const ConfigNode* below = lower.find("plugin");
  const ConfigNode* above = upper.find("plugin");
  if (below && above && below->value != above->value) {
    lower = std::move(upper);
    return;
  }
  const ConfigNode* kind_below = lower.find("kind");
  const ConfigNode* kind_above = upper.find("kind");
  if (kind_below && kind_above && kind_below->value != kind_above->value)
    for (auto& [key, child] : lower.table()) child.beside_other_kind = true;
  for (auto& [key, child] : upper.table()) {
    if (ConfigNode* present = lower.find(key))
      merge_config(*present, std::move(child));
    else
      lower.table().emplace_back(key, std::move(child));
  }
  lower.source = upper.source;
  lower.beside_other_kind = upper.beside_other_kind;
}

void apply_override(ConfigNode& root, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    throw ConfigError("--set " + assignment + ": expected key.path=value, got no '='.");
  const std::string path = assignment.substr(0, equals);
  const std::string text = assignment.substr(equals + 1);
  const Source source{"--set " + assignment, 0, 0};
  ConfigNode value;
  try {
    const toml::table parsed = toml::parse("value = " + text + "\n");
    value = convert(*parsed.get("value"), source.file);
  } catch (const toml::parse_error&) {
    // A bare word means a string; anything with TOML syntax in it is a mistake worth a message.
    if (text.find_first_of("[]{}\"'=") != std::string::npos)
      throw ConfigError("--set " + assignment + ": expected a TOML value after '=', got '" + text +
                        "'.");
    value.value = text;
  }
  std::function<void(ConfigNode&)> mark = [&](ConfigNode& node) {
    node.source = source;
    if (node.is_table())
      for (auto& entry : node.table()) mark(entry.second);
    if (node.is_array())
      for (auto& item : node.array()) mark(item);
  };
  mark(value);

  // Build the nested table and merge it, so that the rule about `plugin` holds here too.
  std::vector<std::string> keys;
  std::stringstream stream(path);
  for (std::string key; std::getline(stream, key, '.');) {
    if (key.empty())
      throw ConfigError("--set " + assignment + ": expected a key between dots, got none.");
    keys.push_back(key);
  }
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
    ConfigNode parent;
    parent.source = source;
    parent.table().emplace_back(*key, std::move(value));
    value = std::move(parent);
  }
  merge_config(root, std::move(value));
}

ConfigNode read_experiment(const std::filesystem::path& file,
                           const std::vector<std::string>& overrides) {
  std::vector<fs::path> chain;
  ConfigNode root = read_with_bases(file, "", chain);
  for (const auto& assignment : overrides) apply_override(root, assignment);
  return root;
}

}  // namespace tessera
