#include "launcher/data/image_header.h"

#include <cstdlib>

namespace tessera::data {
namespace {

constexpr std::string_view kPngHead("\x89PNG\r\n\x1a\n", 8);
constexpr std::string_view kJpegHead("\xff\xd8", 2);
constexpr std::string_view kJpegEnd("\xff\xd9", 2);
constexpr std::string_view kBmpHead("BM", 2);
// Bytes from the start of the file, by the formats' definitions.
constexpr size_t kPngWidth = 16;
constexpr size_t kBmpWidth = 18;

uint8_t byte_at(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

int64_t big_endian(std::string_view bytes, size_t at, size_t count) {
  int64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value * 256 + byte_at(bytes, at + i);
  return value;
}

int64_t little_endian_32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value * 256 + byte_at(bytes, at + i);
  return static_cast<int32_t>(value);
}

bool is_frame_header(uint8_t marker) {
  // SOF0..SOF15 but for the tables DHT, JPG and DAC, which lie between them.
  return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/// Calls visit(marker, position of the segment's length) for each of a JPEG's segments up to the
/// compressed data, until it returns false. out: where the compressed data begin, or 0.
template <class Visit>
size_t walk_jpeg(std::string_view bytes, const Visit& visit) {
  size_t at = kJpegHead.size();
  while (at + 4 <= bytes.size() && byte_at(bytes, at) == 0xff) {
    const uint8_t marker = byte_at(bytes, at + 1);
    if (marker == 0xff) {  // fill bytes may precede a marker
      ++at;
      continue;
    }
    if (!visit(marker, at + 2)) return 0;
    at += 2 + static_cast<size_t>(big_endian(bytes, at + 2, 2));
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

}  // namespace

std::optional<ImageHeader> read_image_header(std::string_view bytes) {
  if (is_jpeg(bytes)) return jpeg_header(bytes);
  if (bytes.starts_with(kPngHead) && bytes.size() >= kPngWidth + 8)
    return ImageHeader{big_endian(bytes, kPngWidth, 4), big_endian(bytes, kPngWidth + 4, 4)};
  if (bytes.starts_with(kBmpHead) && bytes.size() >= kBmpWidth + 8)
    // A negative height says that the rows come from the top.
    return ImageHeader{little_endian_32(bytes, kBmpWidth),
                       std::llabs(little_endian_32(bytes, kBmpWidth + 4))};
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
