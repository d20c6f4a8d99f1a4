#pragma once
// The characters of a COCO compressed RLE string: numbers of five bits a character, the low ones
// first, in two's complement.

#include <cstdint>

namespace tessera::data {

constexpr int kBitsPerCharacter = 5;
constexpr int64_t kValueBits = 31;    // the five value bits of a character
constexpr int64_t kMoreFollows = 32;  // another character belongs to this number
constexpr int64_t kSignBit = 16;      // in the last character: the number is negative
constexpr char kFirstCharacter = '0';
constexpr int64_t kNumCharacters = 64;
// 35 bits hold any difference of two runs; more characters only come from broken files.
constexpr int kMaxCharactersPerRun = 7;

}  // namespace tessera::data
