#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tessera::data {

/// The ending of a file name in lower case, with its dot.
std::string lower_ending(const std::filesystem::path& file);

/// The endings that count as images: ".jpg", ...
std::vector<std::string> image_endings();

/// What a folder holds that is wanted, in natural order of the names; hidden entries are left out.
std::vector<std::filesystem::path> list_folder(
    const std::filesystem::path& folder,
    const std::function<bool(const std::filesystem::directory_entry&)>& wanted);

/// The images, or the folders, directly in a folder.
std::vector<std::filesystem::path> list_images(const std::filesystem::path& folder);
std::vector<std::filesystem::path> list_folders(const std::filesystem::path& folder);

/// Throws DataError unless there is a folder. `what` says of what: "frames".
void check_is_folder(const std::filesystem::path& folder, const std::string& what);

}  // namespace tessera::data
