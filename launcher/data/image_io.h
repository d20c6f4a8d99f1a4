#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

#include "launcher/data/image_rules.h"

namespace tessera::data {

/// Reads a JPEG, PNG, ... file; `rules` say how stored pixels become a frame.
/// out: [H,W,3] uint8 RGB. Throws DataError naming the file where it is missing, broken or cut off.
at::Tensor read_image(const std::filesystem::path& file, const ImageRules& rules = {});

/// Writes an image; the ending of the name says how (.png, .jpg with quality 95).
/// in: [H,W,3] uint8 RGB. Throws RuntimeError naming the file where it cannot be written.
void write_image(const std::filesystem::path& file, const at::Tensor& image);

/// in: [H,W,3] uint8 RGB. out: the bytes of a JPEG file.
std::vector<uint8_t> encode_jpeg(const at::Tensor& image);

}  // namespace tessera::data
