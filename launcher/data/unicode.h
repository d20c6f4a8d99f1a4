#pragma once

#include <string>
#include <string_view>

namespace tessera::data {

/// The characters of UTF-8 text; bytes that are no UTF-8 become U+FFFD, as do control characters,
/// which cannot be drawn.
std::u32string decode_utf8(std::string_view text);

/// "[U+4EBA]".
std::string code_point_name(char32_t character);

bool is_ascii(std::string_view text);

/// The text in ASCII, other characters as their code_point_name.
std::string spell_in_ascii(std::string_view text);

}  // namespace tessera::data
