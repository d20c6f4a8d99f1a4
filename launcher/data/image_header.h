#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tessera::data {

/// What the first bytes of an image file state about it.
struct ImageHeader {
  int64_t width = 0;  // pixels, as stored
  int64_t height = 0;
  int bits = 8;         // of a channel
  int orientation = 1;  // EXIF tag 274, 1 to 8: how the stored pixels are to be shown; see turn.h
};

/// in: the bytes of a file. out: the size that a JPEG, PNG, BMP, WebP, PPM (PBM, PGM) or TIFF
/// states, without decoding it, which is the size that OpenCV gives it; nothing for other formats,
/// and for files that end too early or are laid out as no writer does it.
std::optional<ImageHeader> read_image_header(std::string_view bytes);

bool is_jpeg(std::string_view bytes);

/// Whether the file ends as its format (JPEG, PNG) must; true for other formats.
bool is_whole_image(std::string_view bytes);

}  // namespace tessera::data
