#pragma once

#include <string>
#include <string_view>

namespace tessera {

/// Bytes of a file that foreign_file() needs.
inline constexpr size_t kForeignFileBytes = 512;

/// What a file is that people take for a weight file, by its first bytes, and the next step: "an
/// HTML page. Download the file itself ..."; "" if it is none of the known kinds.
std::string foreign_file(std::string_view beginning);

}  // namespace tessera
