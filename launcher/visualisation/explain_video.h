#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/data/frame_source.h"
#include "launcher/inference/video_inference.h"

namespace tessera::visualisation {

/// Writes the picture of one window: its best tracks, each with the frames (at most six, spread
/// over the window), its masks, and where its query looked. in: category names by index; a decoder
/// with queries of each frame is asked in the middle one. Throws RuntimeError where the file cannot
/// be written.
void write_explanation(const data::InferenceVideo& video, const VideoTracks& found,
                       const ExplainedWindow& window, const std::vector<std::string>& categories,
                       int64_t most_tracks, const std::filesystem::path& file);

}  // namespace tessera::visualisation
