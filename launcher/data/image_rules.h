#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace tessera::data {

/// How stored pixels become frames; `[data]` has the same two keys.
struct ImageRules {
  bool turn_by_exif = false;  // turn images as their EXIF orientation says
  int64_t white_level = 0;    // of more than 8 bits: the value that becomes 255; 0: the largest
};

/// A folder of images and how they are read.
struct ImageSource {
  ImageSource(std::filesystem::path images_folder, ImageRules image_rules = {})
      : folder(std::move(images_folder)), rules(image_rules) {}

  std::filesystem::path folder;
  ImageRules rules;
};

/// For errors about sizes: what the EXIF orientation of an image has to do with it, as a sentence
/// that begins with a space. Empty if the image states none or cannot be read.
std::string orientation_hint(const std::filesystem::path& file, const ImageRules& rules);

/// The largest value of an image of more than 8 bits whose upper bits are all zero, so that the
/// frame would be nearly black. Nothing for other images, and where a white level is set.
/// Throws DataError naming the file.
std::optional<int64_t> unused_range(const std::filesystem::path& file, const ImageRules& rules);

/// What to say of the two above as warnings; empty: nothing.
/// Throws DataError naming the file.
std::string warn_of_image(const std::filesystem::path& file, const ImageRules& rules);

}  // namespace tessera::data
