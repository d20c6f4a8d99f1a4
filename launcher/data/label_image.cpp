#include "launcher/data/label_image.h"

#include <cstdint>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "launcher/data/codecs.h"
#include "launcher/data/image_mat.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::data {
namespace {

// A PNG: eight bytes, then chunks of length, type, data, CRC; the first one is IHDR.
constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kFirstChunk = 8;
constexpr size_t kBitDepth = 24;
constexpr size_t kColourType = 25;
constexpr size_t kHeaderType = 12;  // where the CRC begins to count
constexpr size_t kHeaderCrc = 29;
constexpr size_t kHeaderEnd = 33;
constexpr size_t kChunkOverhead = 12;
constexpr uint8_t kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6;

uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

/// The CRC of PNG chunks (ISO 3309).
uint32_t crc_of(std::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  return ~crc;
}

std::string as_bytes(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

/// The beginning of a PNG, IHDR included, for another type of colour.
std::string header_with_type(std::string_view png, uint8_t type) {
  std::string header(png.substr(0, kHeaderCrc));
  header[kColourType] = static_cast<char>(type);
  return header + as_bytes(crc_of(std::string_view(header).substr(kHeaderType)));
}

/// The same pixels as levels of grey: decoders turn palette indices into colours, which two indices
/// may share. PNG stores both kinds of pixel alike, so the header and the palette are all to
/// change.
std::string as_grey(std::string_view png) {
  std::string grey = header_with_type(png, kGrey);
  for (size_t at = kHeaderEnd; at + kChunkOverhead <= png.size();) {
    const size_t size = big_endian(png, at) + kChunkOverhead;
    const std::string_view type = png.substr(at + 4, 4);
    if (type != "PLTE" && type != "tRNS" && type != "bKGD" && type != "hIST" && type != "sBIT")
      grey += png.substr(at, size);
    at += size;
  }
  return grey;
}

/// The 256 colours of PASCAL VOC: the bits of an index are dealt to R, G and B from the top.
std::string palette() {
  std::string colours;
  for (int index = 0; index < 256; ++index)
    for (int channel = 0; channel < 3; ++channel) {
      int value = 0;
      for (int bit = 0; bit < 3; ++bit) value |= (index >> (3 * bit + channel) & 1) << (7 - bit);
      colours += static_cast<char>(value);
    }
  return colours;
}

std::string chunk(const std::string& type, const std::string& data) {
  return as_bytes(static_cast<uint32_t>(data.size())) + type + data + as_bytes(crc_of(type + data));
}

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& got) {
  throw DataError(file.string() +
                  ": expected labels as a PNG with a palette, of grey levels or of plain colours, "
                  "got " +
                  got + ".");
}

cv::Mat colour_labels(const std::filesystem::path& file, const cv::Mat& image) {
  cv::Mat labels(image.size(), CV_32SC1);
  const int channels = image.channels();
  for (int y = 0; y < image.rows; ++y) {
    const uint8_t* from = image.ptr<uint8_t>(y);
    auto* to = labels.ptr<int32_t>(y);
    for (int x = 0; x < image.cols; ++x, from += channels) {
      if (channels == 4 && from[3] != 255) fail(file, "pixels that are transparent");
      to[x] = from[2] << 16 | from[1] << 8 | from[0];  // OpenCV: B, G, R
    }
  }
  return labels;
}

}  // namespace

LabelImage read_label_image(const std::filesystem::path& file) {
  std::string bytes = read_image_bytes(file);
  if (!bytes.starts_with(kSignature) || bytes.size() < kHeaderEnd ||
      bytes.compare(kFirstChunk + 4, 4, "IHDR") != 0)
    fail(file, "a file that is no PNG. Formats that lose detail, such as JPEG, lose labels, too");
  const auto depth = static_cast<uint8_t>(bytes[kBitDepth]);
  const auto type = static_cast<uint8_t>(bytes[kColourType]);
  if (type == kGreyAlpha) fail(file, "grey levels with transparency");
  if ((type == kRgb || type == kRgba) && depth != 8)
    fail(file, "colours of " + std::to_string(depth) + " bits a channel");
  if (type == kRgb || type == kRgba)
    return {colour_labels(file, decode_image(file, bytes, cv::IMREAD_UNCHANGED)),
            LabelImage::Coding::kColour};
  if (type == kPalette) bytes = as_grey(bytes);
  const cv::Mat levels = decode_image(file, bytes, cv::IMREAD_UNCHANGED);
  if (levels.channels() != 1) fail(file, std::to_string(levels.channels()) + " channels");
  LabelImage image;
  levels.convertTo(image.labels, CV_32S);
  // Fewer than 8 bits come spread over 0..255.
  if (depth < 8) image.labels /= 255 / ((1 << depth) - 1);
  return image;
}

void write_label_image(const std::filesystem::path& file, const cv::Mat& labels) {
  use_single_opencv_thread();
  std::vector<uint8_t> encoded;
  if (!codecs().encode_image(".png", labels, encoded, {}))
    throw RuntimeError(file.string() + ": expected to encode a PNG, got a failure of OpenCV.");
  const std::string_view grey(reinterpret_cast<const char*>(encoded.data()), encoded.size());
  AtomicFile out(file, Sync::no);
  out.write(header_with_type(grey, kPalette) + chunk("PLTE", palette()));
  out.write(grey.substr(kHeaderEnd));
  out.commit();
}

}  // namespace tessera::data
