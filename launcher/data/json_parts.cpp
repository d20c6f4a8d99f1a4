#include "launcher/data/json_parts.h"

#include <cstring>

namespace tessera::data {
namespace {

constexpr size_t kEnd = std::string_view::npos;

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

// From a quote to behind the one that closes it.
size_t skip_string(std::string_view text, size_t at) {
  for (size_t from = at + 1; from < text.size();) {
    const void* const found = std::memchr(text.data() + from, '"', text.size() - from);
    if (found == nullptr) return kEnd;
    const auto quote = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    size_t backslashes = 0;
    while (text[quote - 1 - backslashes] == '\\') ++backslashes;  // ends at the opening quote
    if (backslashes % 2 == 0) return quote + 1;
    from = quote + 1;
  }
  return kEnd;
}

size_t skip_nested(std::string_view text, size_t at) {
  size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      at = skip_string(text, at);
      if (at == kEnd) return kEnd;
      continue;
    }
    ++at;
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && --depth == 0) return at;
  }
  return kEnd;
}

size_t skip_value(std::string_view text, size_t at) {
  if (at >= text.size()) return kEnd;
  if (text[at] == '"') return skip_string(text, at);
  if (text[at] == '[' || text[at] == '{') return skip_nested(text, at);
  const size_t first = at;
  while (at < text.size() && std::strchr(",]}:", text[at]) == nullptr && !is_space(text[at])) ++at;
  return at == first ? kEnd : at;
}

// Calls read(at), which returns the end of an item or kEnd, for every item between `open` and
// `close`.
template <typename Read>
bool for_each_item(std::string_view text, char open, char close, const Read& read) {
  // Editors on Windows put a byte order mark in front.
  constexpr std::string_view kMark("\xef\xbb\xbf");
  size_t at = skip_space(text, text.starts_with(kMark) ? kMark.size() : 0);
  if (at >= text.size() || text[at] != open) return false;
  at = skip_space(text, at + 1);
  if (at < text.size() && text[at] == close) return skip_space(text, at + 1) == text.size();
  while (true) {
    at = read(at);
    if (at == kEnd) return false;
    at = skip_space(text, at);
    if (at >= text.size()) return false;
    if (text[at] == close) return skip_space(text, at + 1) == text.size();
    if (text[at] != ',') return false;
    at = skip_space(text, at + 1);
  }
}

}  // namespace

std::optional<std::vector<std::string_view>> split_list(std::string_view text) {
  std::vector<std::string_view> values;
  const bool whole = for_each_item(text, '[', ']', [&](size_t at) {
    const size_t end = skip_value(text, at);
    if (end != kEnd) values.push_back(text.substr(at, end - at));
    return end;
  });
  if (!whole) return std::nullopt;
  return values;
}

std::optional<std::vector<std::pair<std::string_view, std::string_view>>> split_object(
    std::string_view text) {
  std::vector<std::pair<std::string_view, std::string_view>> items;
  const bool whole = for_each_item(text, '{', '}', [&](size_t at) {
    if (at >= text.size() || text[at] != '"') return kEnd;
    const size_t key_end = skip_string(text, at);
    if (key_end == kEnd) return kEnd;
    const size_t colon = skip_space(text, key_end);
    if (colon >= text.size() || text[colon] != ':') return kEnd;
    const size_t value = skip_space(text, colon + 1);
    const size_t end = skip_value(text, value);
    if (end != kEnd) {
      items.emplace_back(text.substr(at + 1, key_end - at - 2), text.substr(value, end - value));
    }
    return end;
  });
  if (!whole) return std::nullopt;
  return items;
}

}  // namespace tessera::data
