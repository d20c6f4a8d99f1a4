#pragma once

#include <filesystem>
#include <string>

#include "launcher/data/ytvis.h"

namespace tessera::data {

/// Writes an annotation file that read_annotations reads back the same: masks as compressed RLE,
/// the file whole or not at all, its folder made where it is missing.
/// in: description, for the file's "info". Throws RuntimeError where it cannot be written.
void write_annotations(const std::filesystem::path& file, const AnnotationFile& annotations,
                       const std::string& description);

/// Refuses to replace a file unless asked to. Throws ConfigError that begins with `what`.
void check_may_write(const std::filesystem::path& file, bool overwrite, const std::string& what);

}  // namespace tessera::data
