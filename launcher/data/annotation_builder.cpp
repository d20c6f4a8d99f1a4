#include "launcher/data/annotation_builder.h"

#include <array>
#include <utility>

#include "core/error.h"
#include "launcher/data/segmentation.h"

namespace tessera::data {
namespace {

constexpr size_t kMaxListedIds = 20;

Occlusion read_occlusion(const Json& value) {
  constexpr std::array<std::pair<std::string_view, Occlusion>, 3> kLevels = {{
      {"no_occlusion", Occlusion::kNone},
      {"slight_occlusion", Occlusion::kSlight},
      {"severe_occlusion", Occlusion::kSevere},
  }};
  const std::string& name = as_text(value, "'occlusion'");
  std::vector<std::string> known;
  for (const auto& [level_name, level] : kLevels) {
    if (level_name == name) return level;
    known.emplace_back(level_name);
  }
  throw DataError("'occlusion': expected a known level, got " + describe(value) + "." +
                  suggestion(name, known));
}

Box read_box(const Json& value) {
  if (as_list(value, "'bboxes'").size() != 4) {
    throw DataError("'bboxes': expected x, y, width, height, got " + describe(value) + ".");
  }
  std::array<double, 4> numbers{};
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = as_finite_number(value[i], "'bboxes'");
  if (numbers[2] < 0 || numbers[3] < 0) {
    throw DataError("'bboxes': expected a width and height of 0 or more, got " + value[2].dump() +
                    " and " + value[3].dump() + ".");
  }
  return {numbers[0], numbers[1], numbers[2], numbers[3]};
}

double read_area(const Json& value) {
  const double area = as_finite_number(value, "'areas'");
  if (area < 0) {
    throw DataError("'areas': expected an area of 0 or more, got " + describe(value) + ".");
  }
  return area;
}

int64_t read_extent(const Json& object, const char* key) {
  const std::string what = std::string("'") + key + "'";
  const int64_t extent = as_integer(value_of(object, key), what);
  if (extent <= 0) {
    throw DataError(what + ": expected a number above 0, got " + std::to_string(extent) + ".");
  }
  return extent;
}

/// Annotations that refer to a faulty item are not faulty for that.
void note_faulty(const Json& value, std::set<int64_t>& ids) {
  if (const auto id = find_integer(value, "id")) ids.insert(*id);
}

std::string id_text(const Json& object, const char* key) {
  const auto id = find_integer(object, key);
  return id ? std::to_string(*id) : "";
}

std::string video_place(const Json& value, size_t index) {
  const std::string id = value.is_object() ? id_text(value, "id") : "";
  return id.empty() ? "videos[" + std::to_string(index) + "]" : "video " + id;
}

std::string annotation_place(const Json& value, size_t position) {
  const std::string at = "annotations[" + std::to_string(position) + "]";
  if (!value.is_object()) return at;
  const std::string id = id_text(value, "id");
  const std::string video_id = id_text(value, "video_id");
  return (id.empty() ? at : "annotation " + id) +
         (video_id.empty() ? "" : " (video " + video_id + ")");
}

[[noreturn]] void fail_duplicate(int64_t id) {
  throw DataError("'id': expected unique ids, got " + std::to_string(id) + " a second time.");
}

}  // namespace

AnnotationBuilder::AnnotationBuilder(const std::filesystem::path& file, const ReadOptions& options)
    : options_(options) {
  result_.file = file;
}

template <typename Place, typename Body>
bool AnnotationBuilder::read_item(const Place& place, const Body& body) {
  if (options_.faults == nullptr) {
    at_place(place, body);
    return true;
  }
  frame_faults_.clear();
  const auto note = [&](const std::string& fault) {
    options_.faults->push_back(result_.file.string() + ": " + place() + ": " + fault);
  };
  bool whole = true;
  try {
    body();
  } catch (const DataError& error) {
    note(error.what());
    whole = false;
  }
  for (const std::string& fault : frame_faults_) note(fault);
  return whole;
}

template <typename Body>
void AnnotationBuilder::read_frame(size_t frame, const Body& body) {
  const auto place = [&] { return "frame " + std::to_string(frame); };
  try {
    at_place(place, body);
  } catch (const DataError& error) {
    if (options_.faults == nullptr) throw;
    frame_faults_.emplace_back(error.what());
  }
}

template <typename Value, typename Read>
std::vector<std::optional<Value>> AnnotationBuilder::read_frames(const Json& annotation,
                                                                 const char* key, size_t num_frames,
                                                                 const Read& read) {
  const std::string what = std::string("'") + key + "'";
  const Json& list = as_list(value_of(annotation, key), what);
  if (!options_.compatible && list.size() != num_frames) {
    throw DataError(what + ": expected one entry for each of the " + std::to_string(num_frames) +
                    " frames, got " + std::to_string(list.size()) + ".");
  }
  std::vector<std::optional<Value>> values(list.size());
  for (size_t t = 0; t < list.size(); ++t) {
    if (list[t].is_null()) continue;
    read_frame(t, [&] { values[t] = read(list[t]); });
  }
  return values;
}

void AnnotationBuilder::add_videos(const Json& list) {
  for (const Json& value : as_list(list, "'videos'")) {
    const size_t position = num_listed_videos_++;
    const bool whole =
        read_item([&] { return video_place(value, position); },
                  [&] {
                    Video video = read_video(value);
                    if (!video_index_.emplace(video.id, result_.videos.size()).second)
                      fail_duplicate(video.id);
                    result_.videos.push_back(std::move(video));
                  });
    if (!whole) note_faulty(value, faulty_videos_);
  }
  if (list.empty() && !options_.compatible) {
    throw DataError("'videos': expected at least one video, got an empty list.");
  }
  has_videos_ = true;
}

void AnnotationBuilder::add_categories(const Json& list) {
  for (const Json& value : as_list(list, "'categories'")) {
    const size_t position = num_listed_categories_++;
    const bool whole =
        read_item([&] { return "categories[" + std::to_string(position) + "]"; },
                  [&] {
                    as_object(value, "category");
                    Category category{as_integer(value_of(value, "id"), "'id'"),
                                      as_text(value_of(value, "name"), "'name'")};
                    if (!category_index_.emplace(category.id, result_.categories.size()).second) {
                      fail_duplicate(category.id);
                    }
                    result_.categories.push_back(std::move(category));
                  });
    if (!whole) note_faulty(value, faulty_categories_);
  }
  has_categories_ = true;
}

void AnnotationBuilder::add_annotation(const Json& value) {
  const size_t position = num_annotations_++;
  read_item([&] { return annotation_place(value, position); },
            [&] {
              register_id(as_integer(value_of(as_object(value, "annotation"), "id"), "'id'"));
              keep(parse(value).annotation);
            });
}

void AnnotationBuilder::add_annotation(ParsedAnnotation parsed) {
  ++num_annotations_;
  register_id(parsed.id);
  keep(std::move(parsed.annotation));
}

ParsedAnnotation AnnotationBuilder::parse(const Json& value) {
  Annotation annotation;
  annotation.id = as_integer(value_of(value, "id"), "'id'");
  annotation.video_id = as_integer(value_of(value, "video_id"), "'video_id'");
  annotation.category_id = as_integer(value_of(value, "category_id"), "'category_id'");
  const Json* const crowd = find_value(value, "iscrowd");
  annotation.is_crowd = crowd != nullptr && as_flag(*crowd, "'iscrowd'");
  const auto video =
      find_id(video_index_, faulty_videos_, annotation.video_id, "video_id", "videos");
  const auto category = find_id(category_index_, faulty_categories_, annotation.category_id,
                                "category_id", "categories");
  if (!video || !category) return {annotation.id, std::nullopt};
  annotation.video_index = *video;
  annotation.category_index = *category;

  annotation.segmentations = read_segmentations(value, result_.videos[*video]);
  const size_t num_frames = annotation.segmentations.size();
  if (find_value(value, "areas") != nullptr) {
    annotation.areas = read_frames<double>(value, "areas", num_frames, read_area);
  } else {
    for (const auto& rle : annotation.segmentations) {
      annotation.areas.push_back(rle ? std::optional(static_cast<double>(area(*rle)))
                                     : std::nullopt);
    }
  }
  if (find_value(value, "occlusion") != nullptr) {
    annotation.occlusion = read_frames<Occlusion>(value, "occlusion", num_frames, read_occlusion);
  }
  // The scorer uses no boxes: files that it accepts may have any.
  if (find_value(value, "bboxes") != nullptr && !options_.compatible) {
    annotation.bboxes = read_frames<Box>(value, "bboxes", num_frames, read_box);
  } else {
    for (const auto& rle : annotation.segmentations) {
      annotation.bboxes.push_back(rle ? std::optional(bounding_box(*rle)) : std::nullopt);
    }
  }
  return {annotation.id, std::move(annotation)};
}

std::string AnnotationBuilder::progress() const {
  return "after " + std::to_string(result_.videos.size()) + " videos and " +
         std::to_string(num_annotations_) + " annotations";
}

Video AnnotationBuilder::read_video(const Json& value) {
  as_object(value, "video");
  Video video;
  video.id = as_integer(value_of(value, "id"), "'id'");
  video.width = read_extent(value, "width");
  video.height = read_extent(value, "height");
  check_mask_size(video.height, video.width);
  if (find_value(value, "file_names") == nullptr) {
    if (options_.compatible) return video;
    throw DataError(
        "expected a key 'file_names', got none. Files that list 'images' with a 'video_id' "
        "(CocoVID) are converted: tessera data convert --from coco.");
  }
  for (const Json& name : as_list(value_of(value, "file_names"), "'file_names'")) {
    video.file_names.push_back(as_text(name, "'file_names'"));
    if (options_.compatible) continue;  // the scorer opens no image
    read_frame(video.file_names.size() - 1, [&] { check_file_name(video.file_names.back()); });
  }
  video.length = static_cast<int64_t>(video.file_names.size());
  if (options_.compatible) return video;
  if (video.length == 0) {
    throw DataError("'file_names': expected at least one frame, got an empty list.");
  }
  if (find_value(value, "length") == nullptr) return video;
  const int64_t length = read_extent(value, "length");
  if (length != video.length) {
    throw DataError("'length': expected the number of 'file_names', " +
                    std::to_string(video.length) + ", got " + std::to_string(length) + ".");
  }
  return video;
}

std::optional<size_t> AnnotationBuilder::find_id(const IdIndex& known,
                                                 const std::set<int64_t>& faulty, int64_t id,
                                                 const char* key, const char* list) const {
  const auto found = known.find(id);
  if (found != known.end()) return found->second;
  if (options_.compatible || faulty.contains(id)) return std::nullopt;
  throw DataError(std::string("'") + key + "': expected an id from '" + list + "', got " +
                  std::to_string(id) + ". Known: " + known_ids(list) + ".");
}

std::string AnnotationBuilder::known_ids(std::string_view list) const {
  std::vector<std::string> ids;
  if (list == "videos") {
    for (const Video& video : result_.videos) ids.push_back(std::to_string(video.id));
  } else {
    for (const Category& category : result_.categories) ids.push_back(std::to_string(category.id));
  }
  if (ids.size() > kMaxListedIds) {
    ids.resize(kMaxListedIds);
    ids.emplace_back("..");
  }
  return join(ids);
}

void AnnotationBuilder::register_id(int64_t id) {
  if (!annotation_index_.emplace(id, num_annotations_).second) fail_duplicate(id);
}

void AnnotationBuilder::keep(std::optional<Annotation> annotation) {
  if (annotation) result_.annotations.push_back(std::move(*annotation));
}

std::vector<std::optional<Rle>> AnnotationBuilder::read_segmentations(const Json& annotation,
                                                                      const Video& video) {
  const Json& list = as_list(value_of(annotation, "segmentations"), "'segmentations'");
  if (!options_.compatible && list.size() != video.file_names.size()) {
    throw DataError("'segmentations': expected one entry for each of the " +
                    std::to_string(video.length) + " frames of the video, got " +
                    std::to_string(list.size()) + ". Write null where the object is absent.");
  }
  const SegmentationRules rules{.allow_uncompressed = true,
                                .allow_polygons = true,
                                .require_size = !options_.compatible,
                                .height = video.height,
                                .width = video.width};
  std::vector<std::optional<Rle>> segmentations;
  segmentations.reserve(list.size());
  for (size_t t = 0; t < list.size(); ++t) {
    segmentations.emplace_back();
    read_frame(t, [&] { segmentations.back() = read_segmentation(list[t], rules); });
  }
  return segmentations;
}

}  // namespace tessera::data
