#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace tessera::evaluation {

/// The text of the results in a zip archive, as submissions to servers are packed: the file
/// results.json, or the only .json file. Nothing if the file is no zip archive (or cannot be read).
/// Throws DataError naming the archive if it is broken or holds no such file.
std::optional<std::string> read_zipped_results(const std::filesystem::path& file);

}  // namespace tessera::evaluation
