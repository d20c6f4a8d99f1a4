#include "launcher/weights/weight_rules.h"

#include <set>

#include "launcher/weights/patterns.h"

namespace tessera {

PatternList::PatternList(const std::vector<std::string>& patterns, const std::string& field) {
  for (const auto& pattern : patterns)
    entries_.push_back(
        {compile_pattern(pattern, "weights." + field), field + " '" + pattern + "'"});
}

bool PatternList::matches(const std::string& name) {
  bool any = false;
  for (auto& entry : entries_) {
    if (!std::regex_search(name, entry.pattern)) continue;
    entry.used = any = true;
  }
  return any;
}

void PatternList::list_unused(std::vector<std::string>& unused) const {
  for (const auto& entry : entries_)
    if (!entry.used) unused.push_back(entry.text);
}

RenamedTensors apply_rules(const TensorList& tensors, const WeightRules& options) {
  RenamedTensors result;
  PatternList ignore(options.ignore, "ignore"), reset(options.reset, "reset");
  std::vector<std::pair<std::regex, bool>> rules;
  for (const auto& rule : options.rename)
    rules.emplace_back(compile_pattern(rule.from, "weights.rename"), false);
  std::set<std::string> names;
  for (const auto& [key, tensor] : tensors) {
    if (!key.starts_with(options.prefix)) {
      result.outside_prefix.push_back(key);
      continue;
    }
    std::string name = key.substr(options.prefix.size());
    if (ignore.matches(name)) {
      result.ignored.push_back(key);
      continue;
    }
    for (size_t i = 0; i < rules.size(); ++i) {
      if (!std::regex_search(name, rules[i].first)) continue;
      rules[i].second = true;
      name = std::regex_replace(name, rules[i].first, options.rename[i].to);
    }
    if (reset.matches(name))
      result.reset.push_back(key);
    else if (names.insert(name).second)
      result.tensors.emplace_back(name, tensor);
    else
      result.clashing.push_back(name + " (again from '" + key + "')");
  }
  ignore.list_unused(result.unused_patterns);
  for (size_t i = 0; i < rules.size(); ++i)
    if (!rules[i].second)
      result.unused_patterns.push_back("rename '" + options.rename[i].from + "'");
  return result;
}

std::vector<pickle::OtherEntry> needed(const std::vector<pickle::OtherEntry>& unsupported,
                                       const WeightRules& options) {
  PatternList ignore(options.ignore, "ignore");
  std::vector<pickle::OtherEntry> result;
  for (const auto& entry : unsupported)
    if (entry.name.starts_with(options.prefix) &&
        !ignore.matches(entry.name.substr(options.prefix.size())))
      result.push_back(entry);
  return result;
}

}  // namespace tessera
