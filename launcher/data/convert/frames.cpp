#include "launcher/data/convert/frames.h"

#include <utility>

#include "core/error.h"
#include "launcher/data/image_bytes.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/image_header.h"
#include "launcher/data/turn.h"

namespace tessera::data {

FrameSize size_of_image(const std::filesystem::path& file, const ImageRules& rules) {
  const std::string bytes = read_image_bytes(file);
  const auto header = read_image_header(bytes);
  FrameSize size{header->width, header->height};
  if (rules.turn_by_exif && turn_of_exif(header->orientation)->swap_sides)
    std::swap(size.width, size.height);
  return size;
}

FrameFolder open_frame_folder(const std::filesystem::path& given, const ImageRules& rules) {
  check_is_folder(given, "frames");
  const std::filesystem::path folder = frame_folder_of(given);
  FrameFolder frames{.folder = folder, .files = list_images(folder)};
  if (frames.files.empty())
    throw DataError(folder.string() + ": expected frames (" + join(image_endings()) +
                    "), got none." + describe_contents(folder));
  for (const auto& file : frames.files) {
    const auto [width, height] = size_of_image(file, rules);
    if (frames.width == 0) {
      frames.width = width;
      frames.height = height;
    }
    if (width != frames.width || height != frames.height)
      throw DataError(file.string() + ": expected " + std::to_string(frames.width) + "x" +
                      std::to_string(frames.height) + " pixels as the frames before, got " +
                      std::to_string(width) + "x" + std::to_string(height) +
                      ". Frames of a video have one size: resize them, with their masks." +
                      orientation_hint(file, rules));
  }
  return frames;
}

std::string name_within(const std::filesystem::path& images, const std::filesystem::path& file) {
  return file.lexically_relative(images).generic_string();
}

}  // namespace tessera::data
