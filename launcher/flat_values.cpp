#include "launcher/flat_values.h"

namespace tessera {
namespace {

void add_values(const ConfigNode& node, const std::string& path,
                std::map<std::string, std::string>& values) {
  if (!node.is_table()) {
    values[path] = to_toml_value(node);
    return;
  }
  for (const auto& [key, child] : node.table())
    add_values(child, path.empty() ? key : path + "." + key, values);
}

}  // namespace

std::map<std::string, std::string> flat_values(const ConfigNode& table) {
  std::map<std::string, std::string> values;
  add_values(table, "", values);
  return values;
}

}  // namespace tessera
