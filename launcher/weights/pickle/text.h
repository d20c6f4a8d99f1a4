#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::pickle {

/// Whether the bytes are UTF-8 (no overlong forms, no surrogates).
bool is_utf8(std::string_view bytes);

/// UTF-8 of text in Latin-1, of which every byte is one character.
std::string from_latin1(std::string_view bytes);

/// Undoes from_latin1. False where a character is beyond Latin-1; `text` must be UTF-8.
bool to_latin1(std::string_view text, std::string& bytes);

/// The code point in UTF-8; it must be one that UTF-8 has.
void append_utf8(uint32_t code, std::string& text);

/// 'text' for a message: bytes that are not printable ASCII as \xNN, at most 60 of them.
std::string quote(std::string_view text);

}  // namespace tessera::pickle
