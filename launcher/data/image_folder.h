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

/// The images, or the folders, directly in a folder. Throws DataError for a link whose target is
/// missing, and for two images of one frame, whose names differ by their ending or by leading
/// zeros: leaving one out would shift all later frames.
std::vector<std::filesystem::path> list_images(const std::filesystem::path& folder);
std::vector<std::filesystem::path> list_folders(const std::filesystem::path& folder);

/// Where the frames of a video lie: `folder`, or the folder in it that some data sets use, such as
/// "img1" of MOTChallenge.
std::filesystem::path frame_folder_of(const std::filesystem::path& folder);

/// The image that an annotation file names. A name that is not there is tried with "/" for "\\"
/// (written on Windows) and with its ending in lower and in upper case. out: `folder / name` where
/// nothing fits. Throws DataError for a name that leaves the folder.
std::filesystem::path find_image(const std::filesystem::path& folder, const std::string& name);

/// What is at the place of an image that cannot be opened, for "got ..": "no file", or the link
/// whose target is missing.
std::string describe_missing(const std::filesystem::path& file);

/// What a folder without frames holds instead, as sentences that begin with a space.
std::string describe_contents(const std::filesystem::path& folder);

/// Throws DataError unless there is a folder. `what` says of what: "frames".
void check_is_folder(const std::filesystem::path& folder, const std::string& what);

}  // namespace tessera::data
