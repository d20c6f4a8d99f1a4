#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "launcher/data/rle.h"
#include "launcher/data/ytvis.h"

namespace tessera::evaluation {

/// One predicted object through one video.
struct ResultTrack {
  int64_t video_id = 0;
  int64_t category_id = 0;
  double score = 0;                                     // finite; larger is surer
  std::vector<std::optional<data::Rle>> segmentations;  // one for each frame, absent = no mask
};

/// Predictions in the order of their file.
struct Results {
  std::filesystem::path file;  // empty if they never were in a file
  std::vector<ResultTrack> tracks;
};

/// Height and width of the videos by id, which polygons are drawn at.
using VideoSizes = std::unordered_map<int64_t, std::pair<int64_t, int64_t>>;
VideoSizes sizes_of(const data::AnnotationFile& ground_truth);

/// Reads results.json, or a zip archive that holds it: a list of {video_id, category_id, score,
/// segmentations}, masks as RLE (compressed or a list of runs), as polygons of videos in `sizes`,
/// or null. Other keys are ignored. Throws DataError that names file, result, video and frame.
/// Whether the results fit the ground truth is checked by `score`.
Results read_results(const std::filesystem::path& file, const VideoSizes& sizes = {});

/// One track from its text, as result_json gave it. Throws DataError as read_results does.
ResultTrack parse_result(const std::string& json);

/// "result 17 (video 3)", for errors.
std::string result_place(const ResultTrack& track, size_t index);

}  // namespace tessera::evaluation
