#include "launcher/weights/pickle/text.h"

#include <cstdio>

namespace tessera::pickle {
namespace {

/// Bytes of the character that begins at `at`, and its code point; 0 where there is none.
size_t decode(std::string_view bytes, size_t at, uint32_t& code) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t first = byte(at);
  if (first < 0x80) {
    code = first;
    return 1;
  }
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || bytes.size() - at < length) return 0;
  code = first & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(at + i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xd800 && code < 0xe000;
  return code < kSmallest[length] || code > 0x10ffff || is_surrogate ? 0 : length;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  uint32_t code = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = decode(bytes, at, code);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

void append_utf8(uint32_t code, std::string& text) {
  if (code < 0x80) {
    text += static_cast<char>(code);
    return;
  }
  const int tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
  text += static_cast<char>(kLead[tail] | code >> (6 * tail));
  for (int i = tail - 1; i >= 0; --i) text += static_cast<char>(0x80 | (code >> (6 * i) & 0x3f));
}

std::string from_latin1(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(static_cast<uint8_t>(byte), text);
  return text;
}

bool to_latin1(std::string_view text, std::string& bytes) {
  bytes.clear();
  bytes.reserve(text.size());
  uint32_t code = 0;
  for (size_t at = 0; at < text.size(); at += decode(text, at, code)) {
    if (decode(text, at, code) == 0 || code > 0xff) return false;
    bytes += static_cast<char>(code);
  }
  return true;
}

std::string quote(std::string_view text) {
  constexpr size_t kLongest = 60;
  std::string result = "'";
  for (const char c : text.substr(0, kLongest)) {
    if (c >= ' ' && c < 0x7f && c != '\'' && c != '\\') {
      result += c;
      continue;
    }
    char escaped[8];
    std::snprintf(escaped, sizeof(escaped), "\\x%02x", static_cast<uint8_t>(c));
    result += escaped;
  }
  return result + (text.size() > kLongest ? "...'" : "'");
}

}  // namespace tessera::pickle
