#include "launcher/report/differences.h"

#include <map>
#include <set>

#include "core/config/toml_reader.h"
#include "launcher/flat_values.h"

namespace tessera::report {

std::vector<Difference> configuration_differences(const std::vector<std::string>& texts) {
  std::map<std::string, std::vector<std::string>> by_key;
  for (size_t i = 0; i < texts.size(); ++i)
    for (const auto& [key, value] : flat_values(parse_toml(texts[i], "resolved.toml"))) {
      auto& values = by_key[key];
      values.resize(texts.size());
      values[i] = value;
    }
  std::vector<Difference> differences;
  for (auto& [key, values] : by_key) {
    std::set<std::string> distinct;
    for (size_t i = 0; i < texts.size(); ++i)
      if (!texts[i].empty()) distinct.insert(values[i]);
    if (distinct.size() > 1) differences.push_back({key, std::move(values)});
  }
  return differences;
}

}  // namespace tessera::report
