#include "launcher/data/usual_counts.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "launcher/data/counts_format.h"

namespace tessera::data {

#if defined(__x86_64__)

namespace {

constexpr size_t kBlock = 8;            // characters looked at together
constexpr size_t kNumbersPerBlock = 8;  // of one character each at most
constexpr int kLongestInBlock = 4;      // characters of one number that a 32-bit lane takes

/// What eight characters hold, by which of them announce another one.
struct Layout {
  /// For byte b of number n: the character to put there. A number's last character is byte 3.
  std::array<uint8_t, 4 * kNumbersPerBlock> shuffle{};
  /// For each number: how far right its 32 bits move once the sign is on top.
  std::array<uint8_t, kNumbersPerBlock> shift{};
  uint8_t numbers = 0;     // whole ones; fewer than 2: not for this way
  uint8_t characters = 0;  // that they take
};

constexpr std::array<Layout, 256> make_layouts() {
  constexpr uint8_t kZero = 0x80;
  std::array<Layout, 256> layouts{};
  for (size_t more = 0; more < layouts.size(); ++more) {
    Layout& layout = layouts[more];
    for (uint8_t& index : layout.shuffle) index = kZero;
    size_t first = 0;
    for (size_t c = 0; c < kBlock; ++c) {
      if ((more >> c & 1) != 0) continue;
      const size_t length = c - first + 1;
      if (length > kLongestInBlock) {
        layout.numbers = 0;
        break;
      }
      for (size_t i = 0; i < length; ++i) {
        layout.shuffle[4 * layout.numbers + kLongestInBlock - length + i] =
            static_cast<uint8_t>(first + i);
      }
      layout.shift[layout.numbers] = static_cast<uint8_t>(32 - kBitsPerCharacter * length);
      ++layout.numbers;
      first = c + 1;
      layout.characters = static_cast<uint8_t>(first);
    }
  }
  return layouts;
}

constexpr std::array<Layout, 256> kLayouts = make_layouts();

/// Reads one number; false where it is cut off, too long or has another character.
bool read_number(const char*& at, const char* end, int64_t& number) {
  number = 0;
  for (int i = 0; at < end && i < kMaxCharactersPerRun; ++i) {
    const int64_t code = *at++ - kFirstCharacter;
    if (code < 0 || code >= kNumCharacters) return false;
    number |= (code & kValueBits) << (kBitsPerCharacter * i);
    if ((code & kMoreFollows) != 0) continue;
    if ((code & kSignBit) != 0) number -= int64_t{1} << (kBitsPerCharacter * (i + 1));
    return true;
  }
  return false;
}

/// runs: room for one run a character and seven more. Returns how many there are; 0: unusual.
__attribute__((target("avx2"))) size_t decode(const char* at, const char* end, uint32_t* runs) {
  int64_t number = 0;
  if (!read_number(at, end, number) || number < 0 || number > INT32_MAX) return 0;
  runs[0] = static_cast<uint32_t>(number);
  size_t count = 1;

  // Every further number but the next two is the difference from the run before the last. The
  // first run starts no such chain, and so the two sums begin at zero.
  __m256i last_two = _mm256_setzero_si256();  // (run before the last, last run), four times
  __m256i any_negative = _mm256_setzero_si256();
  __m128i any_character = _mm_setzero_si128();
  const __m256i upper_half = _mm256_setr_epi32(0, 0, 0, 0, -1, -1, -1, -1);
  const __m256i pair = _mm256_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1);
  while (static_cast<size_t>(end - at) >= kBlock) {
    const __m128i codes = _mm_sub_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)),
                                       _mm_set1_epi8(kFirstCharacter));
    const int more = _mm_movemask_epi8(_mm_slli_epi16(codes, 2)) & 0xff;
    const Layout& layout = kLayouts[static_cast<size_t>(more)];
    if (layout.numbers < 2) return 0;
    any_character = _mm_or_si128(any_character, codes);
    const __m256i bytes = _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(codes),
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(layout.shuffle.data())));
    const __m256i fives = _mm256_and_si256(bytes, _mm256_set1_epi8(kValueBits));
    const __m256i tens = _mm256_maddubs_epi16(fives, _mm256_set1_epi16(1 | 32 << 8));
    const __m256i twenties = _mm256_madd_epi16(tens, _mm256_set1_epi32(1 | 1024 << 16));
    const __m256i shift = _mm256_cvtepu8_epi32(
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(layout.shift.data())));
    const __m256i differences = _mm256_srav_epi32(_mm256_slli_epi32(twenties, 12), shift);
    // Running sums of every other lane: within each half, then from the lower half to the upper.
    const __m256i halves = _mm256_add_epi32(differences, _mm256_slli_si256(differences, 8));
    const __m256i from_lower = _mm256_and_si256(_mm256_permute4x64_epi64(halves, 0x55), upper_half);
    const __m256i sums = _mm256_add_epi32(_mm256_add_epi32(halves, from_lower), last_two);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(runs + count), sums);
    any_negative = _mm256_or_si256(any_negative, sums);
    last_two = _mm256_permutevar8x32_epi32(
        sums, _mm256_add_epi32(pair, _mm256_set1_epi32(layout.numbers - 2)));
    count += layout.numbers;
    at += layout.characters;
  }
  const __m128i outside = _mm_and_si128(any_character, _mm_set1_epi8(static_cast<char>(0xc0)));
  // Only the lower eight bytes were characters.
  if (_mm_cvtsi128_si64(outside) != 0) return 0;
  if (_mm256_movemask_ps(_mm256_castsi256_ps(any_negative)) != 0) return 0;

  while (at < end) {
    if (!read_number(at, end, number)) return 0;
    if (count > 2) number += runs[count - 2];
    if (number < 0 || number > INT32_MAX) return 0;
    runs[count++] = static_cast<uint32_t>(number);
  }
  return count;
}

}  // namespace

bool decode_usual_counts(std::string_view counts, std::vector<uint32_t>& runs) {
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (!has_avx2) return false;
  thread_local std::vector<uint32_t> room;
  if (room.size() < counts.size() + kNumbersPerBlock) room.resize(counts.size() + kNumbersPerBlock);
  const size_t count = decode(counts.data(), counts.data() + counts.size(), room.data());
  if (count == 0) return false;
  runs.assign(room.begin(), room.begin() + static_cast<ptrdiff_t>(count));
  return true;
}

#else

bool decode_usual_counts(std::string_view, std::vector<uint32_t>&) {
  return false;
}

#endif

}  // namespace tessera::data
