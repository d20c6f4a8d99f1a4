#pragma once
// Cuts large JSON text into values that can be parsed one by one and at the same time. Cutting
// checks brackets, commas and quotes only; whoever parses the parts checks the rest.

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera::data {

/// The values of a list, or nothing if `text` is no list (or ends within one).
std::optional<std::vector<std::string_view>> split_list(std::string_view text);

/// The keys (as written, without quotes) and values of an object, or nothing if `text` is none.
std::optional<std::vector<std::pair<std::string_view, std::string_view>>> split_object(
    std::string_view text);

}  // namespace tessera::data
