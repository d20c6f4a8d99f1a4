#pragma once

#include <filesystem>

#include "launcher/data/frame_source.h"

namespace tessera::data {

/// Opens a video file that FFmpeg can decode; its frames are those that ffmpeg gives, turned as the
/// container states. Decodes the file once to count the frames, because the count that containers
/// state is often wrong.
/// in: allow_broken, go on with the frames that can be decoded where the file is cut off or
/// damaged. Throws DataError if no frame can be read, or for a cut off or damaged file, naming the
/// frames that the container states and the last good one.
InferenceVideo open_video_file(const std::filesystem::path& file, bool allow_broken = false);

}  // namespace tessera::data
