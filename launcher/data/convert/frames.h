#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "launcher/data/image_rules.h"

namespace tessera::data {

/// The frames of one video, as a folder holds them.
struct FrameFolder {
  std::filesystem::path folder;
  std::vector<std::filesystem::path> files;  // in natural order
  int64_t width = 0;                         // pixels
  int64_t height = 0;
};

/// Throws DataError naming the file where there is no frame or the sizes differ.
/// Where `folder` holds no image but one that data sets put between (see frame_folder_of), the
/// frames are that folder's.
FrameFolder open_frame_folder(const std::filesystem::path& folder, const ImageRules& rules = {});

/// The size that an image states, after turning. Throws DataError naming the file.
struct FrameSize {
  int64_t width = 0;  // pixels
  int64_t height = 0;
};
FrameSize size_of_image(const std::filesystem::path& file, const ImageRules& rules = {});

/// The name that annotation files use: relative to the image folder, with '/'.
std::string name_within(const std::filesystem::path& images, const std::filesystem::path& file);

}  // namespace tessera::data
