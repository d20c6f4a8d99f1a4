#include "launcher/data/unicode.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace tessera::data {
namespace {

constexpr char32_t kReplacement = 0xfffd;
constexpr char32_t kFirstPrintable = 0x20, kDelete = 0x7f, kFirstBeyondAscii = 0x80;

/// One character; takes its bytes from the front.
char32_t take_character(std::string_view& text) {
  const auto first = static_cast<uint8_t>(text[0]);
  text.remove_prefix(1);
  if (first < kFirstBeyondAscii) return first;
  // The number of bytes that follow, and the least character that needs them.
  const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  constexpr char32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
  if (first < 0xc0 || first > 0xf4 || text.size() < static_cast<size_t>(more)) return kReplacement;
  char32_t character = first & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    const auto byte = static_cast<uint8_t>(text[static_cast<size_t>(i)]);
    if ((byte & 0xc0) != 0x80) return kReplacement;
    character = character << 6 | (byte & 0x3f);
  }
  text.remove_prefix(static_cast<size_t>(more));
  const bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
  return character < kLeast[more] || character > 0x10ffff || is_surrogate ? kReplacement
                                                                          : character;
}

}  // namespace

std::u32string decode_utf8(std::string_view text) {
  std::u32string characters;
  while (!text.empty()) {
    const char32_t character = take_character(text);
    const bool is_control = character < kFirstPrintable || character == kDelete;
    characters += is_control ? kReplacement : character;
  }
  return characters;
}

std::string code_point_name(char32_t character) {
  char text[16];
  std::snprintf(text, sizeof(text), "[U+%04X]", static_cast<unsigned>(character));
  return text;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < kFirstBeyondAscii; });
}

std::string spell_in_ascii(std::string_view text) {
  std::string result;
  for (const char32_t character : decode_utf8(text))
    result += character < kFirstBeyondAscii ? std::string(1, static_cast<char>(character))
                                            : code_point_name(character);
  return result;
}

}  // namespace tessera::data
