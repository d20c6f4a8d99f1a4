#include "launcher/data/convert/label_number.h"

#include <map>
#include <regex>

namespace tessera::data {

std::optional<NumberedLabel> split_number(const std::string& label) {
  // "person-1", "person_1", "person 1", "person#1", "person(1)", "person1"
  static const std::regex kForm(R"((.*[^\s_\-#.:(\d])([\s_\-#.:(]*)(\d+)\)?)");
  std::smatch parts;
  if (!std::regex_match(label, parts, kForm)) return std::nullopt;
  return NumberedLabel{parts[1], parts[3], parts[2].length() > 0};
}

std::string find_numbered(const std::set<std::string>& labels) {
  std::map<std::string, std::set<std::string>> numbers;
  std::string example;
  for (const std::string& label : labels) {
    const auto numbered = split_number(label);
    if (!numbered) continue;
    numbers[numbered->name].insert(numbered->number);
    if (example.empty() && (numbered->has_separator || numbers[numbered->name].size() > 1))
      example = label;
  }
  return example;
}

}  // namespace tessera::data
