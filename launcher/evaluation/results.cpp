#include "launcher/evaluation/results.h"

#include "core/error.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/segmentation.h"
#include "launcher/evaluation/zipped_results.h"

namespace tessera::evaluation {
namespace {

using data::at_place;
using data::Json;

ResultTrack read_track(const Json& value, const VideoSizes& sizes) {
  data::as_object(value, "result");
  ResultTrack track;
  track.video_id = data::as_integer(data::value_of(value, "video_id"), "'video_id'");
  track.category_id = data::as_integer(data::value_of(value, "category_id"), "'category_id'");
  track.score = data::as_finite_number(data::value_of(value, "score"), "'score'");
  const auto size = sizes.find(track.video_id);
  data::SegmentationRules rules{.allow_uncompressed = true};
  if (size != sizes.end()) {
    rules.allow_polygons = true;
    rules.height = size->second.first;
    rules.width = size->second.second;
  }
  const Json& list = data::as_list(data::value_of(value, "segmentations"), "'segmentations'");
  track.segmentations.reserve(list.size());
  for (size_t t = 0; t < list.size(); ++t) {
    track.segmentations.push_back(
        at_place([&] { return "frame " + std::to_string(t); },
                 [&] { return data::read_segmentation(list[t], rules); }));
  }
  return track;
}

std::string place_of(const Json& value, size_t index) {
  const std::string place = "result " + std::to_string(index);
  const auto video = data::find_integer(value, "video_id");
  return video ? place + " (video " + std::to_string(*video) + ")" : place;
}

}  // namespace

VideoSizes sizes_of(const data::AnnotationFile& ground_truth) {
  VideoSizes sizes;
  for (const data::Video& video : ground_truth.videos)
    sizes[video.id] = {video.height, video.width};
  return sizes;
}

Results read_results(const std::filesystem::path& file, const VideoSizes& sizes) {
  Results results{file, {}};
  const auto read = [&](const Json& value) {
    at_place([&] { return file.string() + ": " + place_of(value, results.tracks.size()); },
             [&] { results.tracks.push_back(read_track(value, sizes)); });
  };
  bool is_list = false;
  // Each entry is converted and dropped when its end is reached: the text may be gigabytes.
  const auto on_event = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth == 0 && event == Event::array_start) is_list = true;
    if (depth != 1 || !is_list) return true;
    const bool is_entry =
        event == Event::object_end || event == Event::array_end || event == Event::value;
    if (is_entry) read(parsed);
    return !is_entry;
  };
  const auto progress = [&] {
    return "after " + std::to_string(results.tracks.size()) + " results";
  };
  const auto zipped = read_zipped_results(file);
  const Json root = zipped ? data::parse_json_text(file.string(), *zipped, on_event, progress)
                           : data::parse_json_file(file, on_event, progress);
  if (!is_list) {
    throw DataError(file.string() + ": expected a list of results, got " + data::describe(root) +
                    ". Each is {video_id, category_id, score, segmentations}.");
  }
  return results;
}

ResultTrack parse_result(const std::string& json) {
  const Json value = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  return at_place([] { return std::string("result of another rank"); },
                  [&] { return read_track(value, {}); });
}

std::string result_place(const ResultTrack& track, size_t index) {
  return "result " + std::to_string(index) + " (video " + std::to_string(track.video_id) + ")";
}

}  // namespace tessera::evaluation
