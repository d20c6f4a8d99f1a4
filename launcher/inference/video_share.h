#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/data/frame_source.h"

namespace tessera {

/// The videos that a process takes, in their order: dealt out from the longest to the shortest, so
/// that all have about as many frames.
std::vector<size_t> own_videos(const std::vector<data::InferenceVideo>& videos, int64_t rank,
                               int64_t num_ranks);

/// A line of a rank's text that says to which video (its index) it belongs.
std::string line_of_video(size_t video, const std::string& text);

/// The lines of all ranks' texts in the order of the videos, as line_of_video was given them; lines
/// of one video stay in their order.
std::vector<std::string> in_order_of_videos(const std::vector<std::string>& parts);

}  // namespace tessera
