#include "launcher/data/convert/frames.h"

#include "core/error.h"
#include "launcher/data/image_bytes.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_header.h"

namespace tessera::data {

FrameSize size_of_image(const std::filesystem::path& file) {
  const std::string bytes = read_image_bytes(file);
  const auto header = read_image_header(bytes);
  return {header->width, header->height};
}

FrameFolder open_frame_folder(const std::filesystem::path& folder) {
  check_is_folder(folder, "frames");
  FrameFolder frames{.folder = folder, .files = list_images(folder)};
  if (frames.files.empty())
    throw DataError(folder.string() + ": expected frames (" + join(image_endings()) +
                    "), got none.");
  for (const auto& file : frames.files) {
    const auto [width, height] = size_of_image(file);
    if (frames.width == 0) {
      frames.width = width;
      frames.height = height;
    }
    if (width != frames.width || height != frames.height)
      throw DataError(file.string() + ": expected " + std::to_string(frames.width) + "x" +
                      std::to_string(frames.height) + " pixels as the frames before, got " +
                      std::to_string(width) + "x" + std::to_string(height) +
                      ". Frames of a video have one size: resize them, with their masks.");
  }
  return frames;
}

std::string name_within(const std::filesystem::path& images, const std::filesystem::path& file) {
  return file.lexically_relative(images).generic_string();
}

}  // namespace tessera::data
