#pragma once

#include <iterator>
#include <random>
#include <string>

namespace tessera::fuzz {

/// Damages the bytes of a text file in one to four places.
inline std::string mutated(std::string text, std::mt19937& random) {
  const char* const kPieces[] = {"null", "-1",   "[]",   "{}",      "\"\"",  "1e999",
                                 "0",    "-0.5", "true", "9999999", "\"o",   "[[",
                                 "}",    "oooo", ",",    "\\u0000", "1e300", "NaN",
                                 "\"\"", "123",  "-",    "\xff",    "[1,2",  "4294967296"};
  const int num_changes = 1 + random() % 4;
  for (int i = 0; i < num_changes && !text.empty(); ++i) {
    const size_t at = random() % text.size();
    const size_t length = random() % 8;
    switch (random() % 5) {
      case 0:
        text[at] = static_cast<char>(random() % 256);
        break;
      case 1:
        text[at] = static_cast<char>('0' + random() % 64);
        break;
      case 2:
        text.erase(at, length);
        break;
      case 3:
        text.insert(at, text.substr(random() % text.size(), length));
        break;
      default:
        text.replace(at, random() % 3, kPieces[random() % std::size(kPieces)]);
    }
  }
  return text;
}

}  // namespace tessera::fuzz
