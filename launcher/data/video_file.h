#pragma once

#include <filesystem>

#include "launcher/data/frame_source.h"

namespace tessera::data {

/// Opens a video file that OpenCV can decode. Counts its frames by reading it once: what the
/// container states is often wrong. Throws DataError where no frame can be read.
InferenceVideo open_video_file(const std::filesystem::path& file);

}  // namespace tessera::data
