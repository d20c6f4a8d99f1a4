#pragma once

#include <string>

#include "launcher/data/video_decoder.h"

namespace tessera::data {

/// Opens a video file with FFmpeg's libraries. in: num_threads that decode, at least 1.
OpenedVideo open_with_ffmpeg(const std::string& file, int num_threads);

/// "FFmpeg (libavformat 59.27.100)".
std::string ffmpeg_version();

}  // namespace tessera::data
