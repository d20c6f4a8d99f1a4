#include "launcher/weights/pickle/escapes.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "launcher/weights/pickle/text.h"

namespace tessera::pickle {
namespace {

uint32_t hexadecimal(std::string_view line, size_t from, size_t digits, const Complaint& complain) {
  uint32_t code = 0;
  const std::string_view part = line.substr(std::min(from, line.size()), digits);
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), code, 16);
  if (part.size() != digits || error != std::errc() || end != part.data() + digits)
    complain(std::to_string(digits) + " hexadecimal digits", quote(part));
  return code;
}

}  // namespace

std::string text_of_repr(std::string_view line, const Complaint& complain) {
  if (line.size() < 2 || line.front() != line.back() ||
      (line.front() != '\'' && line.front() != '"'))
    complain("a string in quotes", quote(line));
  line = line.substr(1, line.size() - 2);
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      text += line[i];
      continue;
    }
    if (++i == line.size()) complain("a whole escape", "its beginning");
    constexpr std::string_view kEscapes = "\\'\"nrt", kMeanings = "\\'\"\n\r\t";
    if (line[i] == 'x') {
      text += static_cast<char>(hexadecimal(line, i + 1, 2, complain));
      i += 2;
    } else if (const size_t known = kEscapes.find(line[i]); known != std::string_view::npos) {
      text += kMeanings[known];
    } else {
      complain("an escape of Python's repr", quote(line.substr(i, 1)));
    }
  }
  return text;
}

std::string text_of_escaped_latin1(std::string_view line, const Complaint& complain) {
  std::string text;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool is_escape =
        line[i] == '\\' && i + 1 < line.size() && (line[i + 1] == 'u' || line[i + 1] == 'U');
    if (!is_escape) {
      append_utf8(static_cast<uint8_t>(line[i]), text);
      continue;
    }
    const size_t digits = line[i + 1] == 'u' ? 4 : 8;
    const uint32_t code = hexadecimal(line, i + 2, digits, complain);
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      complain("a character of Unicode", std::to_string(code));
    append_utf8(code, text);
    i += digits + 1;
  }
  return text;
}

}  // namespace tessera::pickle
