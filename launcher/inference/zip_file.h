#pragma once

#include <filesystem>
#include <string>

namespace tessera {

/// Writes a zip archive with one file at its top level, which is what submission servers take. The
/// archive is written as an AtomicFile, and packed in memory before that.
/// in: source, the file to pack; name, what it is called in the archive.
/// Throws RuntimeError where the source cannot be read or the archive not be written.
void write_zip(const std::filesystem::path& archive, const std::filesystem::path& source,
               const std::string& name);

}  // namespace tessera
