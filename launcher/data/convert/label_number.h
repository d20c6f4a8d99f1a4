#pragma once

#include <optional>
#include <set>
#include <string>

namespace tessera::data {

/// A label that ends in a number: "person-1" is "person" and "1".
struct NumberedLabel {
  std::string name;
  std::string number;
  bool has_separator = false;  // false: "person1"
};

/// Nothing for labels that end in no number, or are nothing else.
std::optional<NumberedLabel> split_number(const std::string& label);

/// Whether labels may number the objects of a category: one has a number behind a separator, or one
/// name comes with several numbers. out: an example; empty: they do not.
std::string find_numbered(const std::set<std::string>& labels);

}  // namespace tessera::data
