#include "launcher/data/image_header.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace tessera::data {
namespace {

constexpr std::string_view kPngHead("\x89PNG\r\n\x1a\n", 8);
constexpr std::string_view kJpegHead("\xff\xd8", 2);
constexpr std::string_view kJpegEnd("\xff\xd9", 2);
constexpr std::string_view kExifHead("Exif\0\0", 6);
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

/// One tag of a TIFF directory, which EXIF has, too.
struct TiffTag {
  int64_t type = 0;
  int64_t count = 0;
  size_t at = 0;  // where its value is
};

constexpr int64_t kShort = 3, kLong = 4;  // types of values

using ReadNumber = int64_t (*)(std::string_view bytes, size_t at, size_t count);

ReadNumber tiff_numbers(std::string_view bytes) {
  if (bytes.starts_with(kTiffLittle)) return little_endian;
  return bytes.starts_with(kTiffBig) ? big_endian : nullptr;
}

/// A tag of the first directory, in which the first of several equal tags counts.
/// in: the bytes of a TIFF file. out: nothing if the tag is absent or the directory broken.
std::optional<TiffTag> find_tiff_tag(std::string_view bytes, int64_t wanted) {
  const ReadNumber number = tiff_numbers(bytes);
  constexpr size_t kEntry = 12;
  if (number == nullptr || bytes.size() < kTiffDirectory + 4) return std::nullopt;
  const auto directory = static_cast<size_t>(number(bytes, kTiffDirectory, 4));
  if (directory + 2 > bytes.size()) return std::nullopt;
  const auto count = static_cast<size_t>(number(bytes, directory, 2));
  if (directory + 2 + count * kEntry > bytes.size()) return std::nullopt;
  for (size_t i = 0; i < count; ++i) {
    const size_t entry = directory + 2 + i * kEntry;
    if (number(bytes, entry, 2) != wanted) continue;
    TiffTag tag{number(bytes, entry + 2, 2), number(bytes, entry + 4, 4), entry + 8};
    // More than four bytes of values are stored elsewhere.
    const int64_t size = tag.count * (tag.type == kShort ? 2 : 4);
    if (size > 4) tag.at = static_cast<size_t>(number(bytes, entry + 8, 4));
    if (tag.at + 4 > bytes.size()) return std::nullopt;
    return tag;
  }
  return std::nullopt;
}

/// The first value of a tag that holds whole numbers.
std::optional<int64_t> tiff_number(std::string_view bytes, int64_t wanted) {
  const auto tag = find_tiff_tag(bytes, wanted);
  if (!tag || (tag->type != kShort && tag->type != kLong) || tag->count < 1) return std::nullopt;
  return tiff_numbers(bytes)(bytes, tag->at, tag->type == kShort ? 2 : 4);
}

/// in: EXIF data, which is laid out as a TIFF file. out: 1 where they state no known orientation.
int orientation_of(std::string_view tiff) {
  constexpr int64_t kOrientation = 274, kFirst = 1, kLast = 8;
  const auto stated = tiff_number(tiff, kOrientation);
  return stated && *stated >= kFirst && *stated <= kLast ? static_cast<int>(*stated) : 1;
}

/// Calls visit(marker, position of the segment's length) for each of a JPEG's segments up to the
/// compressed data, until it returns false. out: where the compressed data begin, or 0. Skips stray
/// bytes between segments exactly as libjpeg does, so that both see the same header.
template <class Visit>
size_t walk_jpeg(std::string_view bytes, const Visit& visit) {
  size_t at = kJpegHead.size();
  while (true) {
    at = bytes.find('\xff', at);
    if (at == bytes.npos || at + 4 > bytes.size()) return 0;
    const uint8_t marker = byte_at(bytes, at + 1);
    if (marker == 0xff) {  // fill bytes may precede a marker
      ++at;
      continue;
    }
    // TEM and RST have no length; 0xff, 0 is a stray byte.
    if (marker == 0 || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += 2;
      continue;
    }
    const auto length = static_cast<size_t>(big_endian(bytes, at + 2, 2));
    if (length < 2 || !visit(marker, at + 2)) return 0;
    at += 2 + length;
    if (marker == 0xda) return at;
  }
}

std::optional<ImageHeader> jpeg_header(std::string_view bytes) {
  constexpr uint8_t kApplication1 = 0xe1;
  std::optional<ImageHeader> header;
  int orientation = 1;
  walk_jpeg(bytes, [&](uint8_t marker, size_t at) {
    const std::string_view segment =
        bytes.substr(at + 2, static_cast<size_t>(big_endian(bytes, at, 2)) - 2);
    if (marker == kApplication1 && segment.starts_with(kExifHead) && orientation == 1)
      orientation = orientation_of(segment.substr(kExifHead.size()));
    if (!is_frame_header(marker) || at + 7 > bytes.size()) return true;
    header = {.width = big_endian(bytes, at + 5, 2),
              .height = big_endian(bytes, at + 3, 2),
              .bits = byte_at(bytes, at + 2)};
    return false;
  });
  if (header) header->orientation = orientation;
  return header;
}

/// How a format lays out its chunks, bytes.
struct ChunkLayout {
  size_t first = 0;             // where the first chunk begins
  size_t length = 0, type = 0;  // where a chunk states the size of its data and its type
  size_t head = 0, tail = 0;    // what a chunk has before and behind its data
  ReadNumber number = nullptr;  // reads the size
  size_t alignment = 1;         // chunks begin at multiples of it
};

/// The data of the first chunk of a type, empty if there is none.
std::string_view find_chunk(std::string_view bytes, const ChunkLayout& layout,
                            std::string_view type) {
  for (size_t at = layout.first; at + layout.head <= bytes.size();) {
    const auto size = static_cast<size_t>(layout.number(bytes, at + layout.length, 4));
    if (bytes.substr(at + layout.type, 4) == type) return bytes.substr(at + layout.head, size);
    at += layout.head + size + layout.tail;
    at += at % layout.alignment;
  }
  return {};
}

std::optional<ImageHeader> png_header(std::string_view bytes) {
  constexpr ChunkLayout kChunks{
      .first = 8, .length = 0, .type = 4, .head = 8, .tail = 4, .number = big_endian};
  if (bytes.size() < kPngWidth + 9) return std::nullopt;
  return ImageHeader{.width = big_endian(bytes, kPngWidth, 4),
                     .height = big_endian(bytes, kPngWidth + 4, 4),
                     .bits = byte_at(bytes, kPngWidth + 8),
                     .orientation = orientation_of(find_chunk(bytes, kChunks, "eXIf"))};
}

std::optional<ImageHeader> bmp_header(std::string_view bytes) {
  if (bytes.size() < kBmpWidth + 8) return std::nullopt;
  if (little_endian(bytes, kBmpHeaderSize, 4) == 12)  // of OS/2
    return ImageHeader{little_endian(bytes, kBmpWidth, 2), little_endian(bytes, kBmpWidth + 2, 2)};
  // A negative height says that the rows come from the top.
  return ImageHeader{signed_little_endian_32(bytes, kBmpWidth),
                     std::llabs(signed_little_endian_32(bytes, kBmpWidth + 4))};
}

std::optional<ImageHeader> webp_size(std::string_view bytes) {
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

std::optional<ImageHeader> webp_header(std::string_view bytes) {
  constexpr ChunkLayout kChunks{.first = kWebpChunk,
                                .length = 4,
                                .type = 0,
                                .head = 8,
                                .tail = 0,
                                .number = little_endian,
                                .alignment = 2};
  auto header = webp_size(bytes);
  if (!header) return header;
  std::string_view exif = find_chunk(bytes, kChunks, "EXIF");
  // Some writers put the head of JPEG's segment there, too.
  if (exif.starts_with(kExifHead)) exif.remove_prefix(kExifHead.size());
  header->orientation = orientation_of(exif);
  return header;
}

/// PBM, PGM, PPM, plain or not: "P6", then numbers among white space and comments.
std::optional<ImageHeader> pnm_header(std::string_view bytes) {
  size_t at = 2;
  constexpr int64_t kLargest8Bit = 255;
  const bool has_largest = bytes[1] != '1' && bytes[1] != '4';  // bitmaps state no largest value
  int64_t numbers[3] = {0, 0, 1};                               // width, height, largest value
  for (int i = 0; i < (has_largest ? 3 : 2); ++i) {
    while (at < bytes.size() && (std::isspace(byte_at(bytes, at)) || bytes[at] == '#'))
      at = bytes[at] == '#' ? std::min(bytes.find_first_of("\r\n", at), bytes.size()) : at + 1;
    const size_t start = at;
    numbers[i] = 0;
    for (; at < bytes.size() && std::isdigit(byte_at(bytes, at)) && at - start < 9; ++at)
      numbers[i] = numbers[i] * 10 + (bytes[at] - '0');
    if (at == start || at == bytes.size() || !std::isspace(byte_at(bytes, at))) return std::nullopt;
  }
  return ImageHeader{
      .width = numbers[0], .height = numbers[1], .bits = numbers[2] > kLargest8Bit ? 16 : 8};
}

std::optional<ImageHeader> tiff_header(std::string_view bytes) {
  constexpr int64_t kWidth = 256, kHeight = 257, kBitsPerSample = 258;
  for (const int64_t side : {kWidth, kHeight}) {
    const auto tag = find_tiff_tag(bytes, side);
    if (!tag || tag->count != 1) return std::nullopt;
  }
  const auto width = tiff_number(bytes, kWidth), height = tiff_number(bytes, kHeight);
  if (!width || !height) return std::nullopt;
  return ImageHeader{.width = *width,
                     .height = *height,
                     .bits = static_cast<int>(tiff_number(bytes, kBitsPerSample).value_or(1)),
                     .orientation = orientation_of(bytes)};
}

}  // namespace

std::optional<ImageHeader> read_image_header(std::string_view bytes) {
  if (is_jpeg(bytes)) return jpeg_header(bytes);
  if (bytes.starts_with(kPngHead)) return png_header(bytes);
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
