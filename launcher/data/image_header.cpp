#include "launcher/data/image_header.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace tessera::data {
namespace {

constexpr std::string_view kPngHead("\x89PNG\r\n\x1a\n", 8);
constexpr std::string_view kJpegHead("\xff\xd8", 2);
constexpr std::string_view kJpegEnd("\xff\xd9", 2);
constexpr std::string_view kBmpHead("BM", 2);
constexpr std::string_view kRiffHead("RIFF", 4), kWebpHead("WEBP", 4);
constexpr std::string_view kTiffLittle("II*\0", 4), kTiffBig("MM\0*", 4);
// Bytes from the start of the file, by the formats' definitions.
constexpr size_t kPngWidth = 16;
constexpr size_t kBmpHeaderSize = 14, kBmpWidth = 18;
constexpr size_t kWebpChunk = 12, kWebpData = 20;
constexpr size_t kTiffDirectory = 4;

uint8_t byte_at(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

int64_t big_endian(std::string_view bytes, size_t at, size_t count) {
  int64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value * 256 + byte_at(bytes, at + i);
  return value;
}

int64_t little_endian(std::string_view bytes, size_t at, size_t count) {
  int64_t value = 0;
  for (size_t i = count; i-- > 0;) value = value * 256 + byte_at(bytes, at + i);
  return value;
}

int64_t signed_little_endian_32(std::string_view bytes, size_t at) {
  return static_cast<int32_t>(static_cast<uint32_t>(little_endian(bytes, at, 4)));
}

bool is_frame_header(uint8_t marker) {
  // SOF0..SOF15 but for the tables DHT, JPG and DAC, which lie between them.
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/// Calls visit(marker, position of the segment's length) for each of a JPEG's segments up to the
/// compressed data, until it returns false. out: where the compressed data begin, or 0. Decoders
/// skip stray bytes between segments; here they end the walk, so that nobody is shown another
/// header.
template <class Visit>
size_t walk_jpeg(std::string_view bytes, const Visit& visit) {
  size_t at = kJpegHead.size();
  while (at + 4 <= bytes.size() && byte_at(bytes, at) == 0xff) {
    const uint8_t marker = byte_at(bytes, at + 1);
    if (marker == 0xff) {  // fill bytes may precede a marker
      ++at;
      continue;
    }
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {  // TEM and RST have no length
      at += 2;
      continue;
    }
    const auto length = static_cast<size_t>(big_endian(bytes, at + 2, 2));
    if (length < 2 || !visit(marker, at + 2)) return 0;
    at += 2 + length;
    if (marker == 0xda) return at;
  }
  return 0;
}

std::optional<ImageHeader> jpeg_header(std::string_view bytes) {
  std::optional<ImageHeader> header;
  walk_jpeg(bytes, [&](uint8_t marker, size_t at) {
    if (!is_frame_header(marker) || at + 7 > bytes.size()) return true;
    header = {.width = big_endian(bytes, at + 5, 2), .height = big_endian(bytes, at + 3, 2)};
    return false;
  });
  return header;
}

std::optional<ImageHeader> bmp_header(std::string_view bytes) {
  if (bytes.size() < kBmpWidth + 8) return std::nullopt;
  if (little_endian(bytes, kBmpHeaderSize, 4) == 12)  // of OS/2
    return ImageHeader{little_endian(bytes, kBmpWidth, 2), little_endian(bytes, kBmpWidth + 2, 2)};
  // A negative height says that the rows come from the top.
  return ImageHeader{signed_little_endian_32(bytes, kBmpWidth),
                     std::llabs(signed_little_endian_32(bytes, kBmpWidth + 4))};
}

std::optional<ImageHeader> webp_header(std::string_view bytes) {
  if (bytes.size() < kWebpData + 10) return std::nullopt;
  const std::string_view chunk = bytes.substr(kWebpChunk, 4);
  if (chunk == "VP8 ")  // a tag and a start code of three bytes each, then the sides in 14 bits
    return ImageHeader{little_endian(bytes, kWebpData + 6, 2) & 0x3fff,
                       little_endian(bytes, kWebpData + 8, 2) & 0x3fff};
  if (chunk == "VP8L") {  // a byte, then the sides less one in 14 bits
    const int64_t sides = little_endian(bytes, kWebpData + 1, 4);
    return ImageHeader{(sides & 0x3fff) + 1, (sides >> 14 & 0x3fff) + 1};
  }
  if (chunk == "VP8X")  // four bytes of flags, then the sides less one
    return ImageHeader{little_endian(bytes, kWebpData + 4, 3) + 1,
                       little_endian(bytes, kWebpData + 7, 3) + 1};
  return std::nullopt;
}

/// PBM, PGM, PPM, plain or not: "P6", then numbers among white space and comments.
std::optional<ImageHeader> pnm_header(std::string_view bytes) {
  size_t at = 2;
  int64_t sides[2] = {0, 0};
  for (int64_t& side : sides) {
    while (at < bytes.size() && (std::isspace(byte_at(bytes, at)) || bytes[at] == '#'))
      at = bytes[at] == '#' ? std::min(bytes.find_first_of("\r\n", at), bytes.size()) : at + 1;
    const size_t start = at;
    for (; at < bytes.size() && std::isdigit(byte_at(bytes, at)) && at - start < 9; ++at)
      side = side * 10 + (bytes[at] - '0');
    if (at == start || at == bytes.size() || !std::isspace(byte_at(bytes, at))) return std::nullopt;
  }
  return ImageHeader{sides[0], sides[1]};
}

/// Of the first directory, in which the first of several equal tags counts.
std::optional<ImageHeader> tiff_header(std::string_view bytes) {
  const auto number = bytes.starts_with(kTiffLittle) ? little_endian : big_endian;
  constexpr int64_t kWidth = 256, kHeight = 257, kShort = 3, kLong = 4;
  constexpr size_t kEntry = 12;
  if (bytes.size() < kTiffDirectory + 4) return std::nullopt;
  const auto directory = static_cast<size_t>(number(bytes, kTiffDirectory, 4));
  if (directory + 2 > bytes.size()) return std::nullopt;
  const auto count = static_cast<size_t>(number(bytes, directory, 2));
  if (directory + 2 + count * kEntry > bytes.size()) return std::nullopt;
  std::optional<int64_t> width, height;
  for (size_t i = 0; i < count; ++i) {
    const size_t entry = directory + 2 + i * kEntry;
    const int64_t tag = number(bytes, entry, 2), type = number(bytes, entry + 2, 2);
    std::optional<int64_t>& side = tag == kWidth ? width : height;
    if ((tag != kWidth && tag != kHeight) || side) continue;
    if ((type != kShort && type != kLong) || number(bytes, entry + 4, 4) != 1) return std::nullopt;
    side = number(bytes, entry + 8, type == kShort ? 2 : 4);
  }
  if (!width || !height) return std::nullopt;
  return ImageHeader{*width, *height};
}

}  // namespace

std::optional<ImageHeader> read_image_header(std::string_view bytes) {
  if (is_jpeg(bytes)) return jpeg_header(bytes);
  if (bytes.starts_with(kPngHead)) {
    if (bytes.size() < kPngWidth + 8) return std::nullopt;
    return ImageHeader{big_endian(bytes, kPngWidth, 4), big_endian(bytes, kPngWidth + 4, 4)};
  }
  if (bytes.starts_with(kBmpHead)) return bmp_header(bytes);
  if (bytes.starts_with(kRiffHead) && bytes.substr(0, kWebpChunk).ends_with(kWebpHead))
    return webp_header(bytes);
  if (bytes.starts_with(kTiffLittle) || bytes.starts_with(kTiffBig)) return tiff_header(bytes);
  if (bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6')
    return pnm_header(bytes);
  return std::nullopt;
}

bool is_jpeg(std::string_view bytes) {
  return bytes.starts_with(kJpegHead);
}

bool is_whole_image(std::string_view bytes) {
  if (is_jpeg(bytes)) {
    // Markers inside the header's segments (an embedded preview) do not count; compressed data
    // cannot hold the marker by chance.
    const size_t data = walk_jpeg(bytes, [](uint8_t, size_t) { return true; });
    return data > 0 && data < bytes.size() && bytes.find(kJpegEnd, data) != bytes.npos;
  }
  if (bytes.starts_with(kPngHead.substr(0, 6))) return bytes.rfind("IEND") != bytes.npos;
  return true;
}

}  // namespace tessera::data
