#include "core/config/config_node.h"

#include <array>
#include <charconv>
#include <cmath>

namespace tessera {
namespace {

std::string quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          constexpr const char* kHex = "0123456789ABCDEF";
          out += std::string("\\u00") + kHex[(c >> 4) & 15] + kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

std::string key_text(const std::string& key) {
  const bool bare =
      !key.empty() &&
      key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
          std::string::npos;
  return bare ? key : quote(key);
}

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), result.ptr);
  if (text.find_first_of(".eE") == std::string::npos) text += ".0";
  return text;
}

// A table, or an array of tables, gets a header of its own in the document form.
bool needs_header(const ConfigNode& node) {
  return node.is_table() && !node.table().empty();
}

void write_table(const ConfigNode& node, const std::string& path, std::string& out) {
  for (const auto& [key, child] : node.table())
    if (!needs_header(child)) out += key_text(key) + " = " + to_toml_value(child) + "\n";
  for (const auto& [key, child] : node.table()) {
    if (!needs_header(child)) continue;
    const std::string child_path = path.empty() ? key_text(key) : path + "." + key_text(key);
    out += "\n[" + child_path + "]\n";
    write_table(child, child_path, out);
  }
}

}  // namespace

std::string Source::text() const {
  if (line == 0) return file;
  return file + ":" + std::to_string(line) + ":" + std::to_string(column);
}

const ConfigNode* ConfigNode::find(std::string_view key) const {
  if (!is_table()) return nullptr;
  for (const auto& [name, child] : table())
    if (name == key) return &child;
  return nullptr;
}

ConfigNode* ConfigNode::find(std::string_view key) {
  return const_cast<ConfigNode*>(static_cast<const ConfigNode*>(this)->find(key));
}

const ConfigNode* ConfigNode::find_path(std::string_view path) const {
  const ConfigNode* node = this;
  while (node && !path.empty()) {
    const size_t dot = path.find('.');
    node = node->find(path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return node;
}

void ConfigNode::set(std::string_view key, ConfigNode child) {
  if (ConfigNode* present = find(key))
    *present = std::move(child);
  else
    table().emplace_back(std::string(key), std::move(child));
}

std::string ConfigNode::description() const {
  if (std::holds_alternative<bool>(value)) return "a boolean (" + to_toml_value(*this) + ")";
  if (std::holds_alternative<int64_t>(value)) return "an integer (" + to_toml_value(*this) + ")";
  if (std::holds_alternative<double>(value)) return "a number (" + to_toml_value(*this) + ")";
  if (std::holds_alternative<std::string>(value)) return "a string (" + to_toml_value(*this) + ")";
  return is_array() ? "an array" : "a table";
}

std::string to_toml_value(const ConfigNode& node) {
  if (auto* v = std::get_if<bool>(&node.value)) return *v ? "true" : "false";
  if (auto* v = std::get_if<int64_t>(&node.value)) return std::to_string(*v);
  if (auto* v = std::get_if<double>(&node.value)) return number_text(*v);
  if (auto* v = std::get_if<std::string>(&node.value)) return quote(*v);
  std::string text;
  if (node.is_array()) {
    for (const auto& item : node.array()) text += (text.empty() ? "" : ", ") + to_toml_value(item);
    return "[" + text + "]";
  }
  for (const auto& [key, child] : node.table())
    text += (text.empty() ? "" : ", ") + key_text(key) + " = " + to_toml_value(child);
  return text.empty() ? "{}" : "{ " + text + " }";
}

std::string to_toml(const ConfigNode& table) {
  std::string out;
  write_table(table, "", out);
  return out;
}

}  // namespace tessera
