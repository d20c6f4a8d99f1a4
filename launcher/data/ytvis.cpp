#include "launcher/data/ytvis.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "core/error.h"
#include "launcher/data/json_parts.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/mapped_file.h"
#include "launcher/data/parallel_for.h"
#include "launcher/data/segmentation.h"

namespace tessera::data {
namespace {

using IdIndex = std::unordered_map<int64_t, size_t>;

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

/// What one annotation says: nothing but its id where it belongs to no listed video or category.
struct ParsedAnnotation {
  int64_t id = 0;
  std::optional<Annotation> annotation;
};

/// Builds an AnnotationFile piece by piece while the parser runs.
class Builder {
 public:
  Builder(const std::filesystem::path& file, const ReadOptions& options) : options_(options) {
    result_.file = file;
  }

  void add_videos(const Json& list) {
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

  void add_categories(const Json& list) {
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

  void add_annotation(const Json& value) {
    const size_t position = num_annotations_++;
    read_item([&] { return annotation_place(value, position); },
              [&] {
                register_id(as_integer(value_of(as_object(value, "annotation"), "id"), "'id'"));
                keep(parse(value).annotation);
              });
  }

  /// The same for an annotation that was parsed before.
  void add_annotation(ParsedAnnotation parsed) {
    ++num_annotations_;
    register_id(parsed.id);
    keep(std::move(parsed.annotation));
  }

  /// Throws the first fault. Several may be parsed at the same time where faults are not collected.
  ParsedAnnotation parse(const Json& value) {
    Annotation annotation;
    annotation.id = as_integer(value_of(value, "id"), "'id'");
    annotation.video_id = as_integer(value_of(value, "video_id"), "'video_id'");
    annotation.category_id = as_integer(value_of(value, "category_id"), "'category_id'");
    annotation.is_crowd = as_flag(value_of(value, "iscrowd"), "'iscrowd'");
    const auto video =
        find_id(video_index_, faulty_videos_, annotation.video_id, "video_id", "videos");
    const auto category = find_id(category_index_, faulty_categories_, annotation.category_id,
                                  "category_id", "categories");
    if (!video || !category) return {annotation.id, std::nullopt};
    annotation.video_index = *video;
    annotation.category_index = *category;

    annotation.segmentations = read_segmentations(value, result_.videos[*video]);
    const size_t num_frames = annotation.segmentations.size();
    annotation.areas = read_frames<double>(value, "areas", num_frames, read_area);
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

  bool collects_faults() const { return options_.faults != nullptr; }

  bool has_videos() const { return has_videos_; }
  bool has_categories() const { return has_categories_; }
  bool ready() const { return has_videos_ && has_categories_; }

  std::string progress() const {
    return "after " + std::to_string(result_.videos.size()) + " videos and " +
           std::to_string(num_annotations_) + " annotations";
  }

  AnnotationFile take() { return std::move(result_); }

 private:
  /// Runs `body`. Where faults are collected, an item with one gives false instead of an exception.
  template <typename Place, typename Body>
  bool read_item(const Place& place, const Body& body) {
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

  /// The same for one frame of an item: the item's other frames are still looked at.
  template <typename Body>
  void read_frame(size_t frame, const Body& body) {
    const auto place = [&] { return "frame " + std::to_string(frame); };
    try {
      at_place(place, body);
    } catch (const DataError& error) {
      if (options_.faults == nullptr) throw;
      frame_faults_.emplace_back(error.what());
    }
  }

  /// Annotations that refer to a faulty item are not faulty for that.
  static void note_faulty(const Json& value, std::set<int64_t>& ids) {
    const Json* const id = value.is_object() ? find_value(value, "id") : nullptr;
    if (id != nullptr && id->is_number_integer()) ids.insert(id->get<int64_t>());
  }

  static std::string id_text(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || !found->is_number_integer() ? "" : found->dump();
  }

  static std::string video_place(const Json& value, size_t index) {
    const std::string id = value.is_object() ? id_text(value, "id") : "";
    return id.empty() ? "videos[" + std::to_string(index) + "]" : "video " + id;
  }

  static std::string annotation_place(const Json& value, size_t position) {
    const std::string at = "annotations[" + std::to_string(position) + "]";
    if (!value.is_object()) return at;
    const std::string id = id_text(value, "id");
    const std::string video_id = id_text(value, "video_id");
    return (id.empty() ? at : "annotation " + id) +
           (video_id.empty() ? "" : " (video " + video_id + ")");
  }

  [[noreturn]] static void fail_duplicate(int64_t id) {
    throw DataError("'id': expected unique ids, got " + std::to_string(id) + " a second time.");
  }

  Video read_video(const Json& value) {
    as_object(value, "video");
    Video video;
    video.id = as_integer(value_of(value, "id"), "'id'");
    video.width = read_extent(value, "width");
    video.height = read_extent(value, "height");
    check_mask_size(video.height, video.width);
    if (options_.compatible && find_value(value, "file_names") == nullptr) return video;
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
    const int64_t length = read_extent(value, "length");
    if (length != video.length) {
      throw DataError("'length': expected the number of 'file_names', " +
                      std::to_string(video.length) + ", got " + std::to_string(length) + ".");
    }
    return video;
  }

  /// Index of a listed id, or nothing in compatible mode and for items left out as faulty.
  std::optional<size_t> find_id(const IdIndex& known, const std::set<int64_t>& faulty, int64_t id,
                                const char* key, const char* list) const {
    const auto found = known.find(id);
    if (found != known.end()) return found->second;
    if (options_.compatible || faulty.contains(id)) return std::nullopt;
    throw DataError(std::string("'") + key + "': expected an id from '" + list + "', got " +
                    std::to_string(id) + ". Known: " + known_ids(list) + ".");
  }

  std::string known_ids(std::string_view list) const {
    std::vector<std::string> ids;
    if (list == "videos") {
      for (const Video& video : result_.videos) ids.push_back(std::to_string(video.id));
    } else {
      for (const Category& category : result_.categories)
        ids.push_back(std::to_string(category.id));
    }
    if (ids.size() > kMaxListedIds) {
      ids.resize(kMaxListedIds);
      ids.emplace_back("..");
    }
    return join(ids);
  }

  void register_id(int64_t id) {
    if (!annotation_index_.emplace(id, num_annotations_).second) fail_duplicate(id);
  }
  void keep(std::optional<Annotation> annotation) {
    if (annotation) result_.annotations.push_back(std::move(*annotation));
  }

  std::vector<std::optional<Rle>> read_segmentations(const Json& annotation, const Video& video) {
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

  template <typename Value, typename Read>
  std::vector<std::optional<Value>> read_frames(const Json& annotation, const char* key,
                                                size_t num_frames, const Read& read) {
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

  ReadOptions options_;
  AnnotationFile result_;
  IdIndex video_index_;
  IdIndex category_index_;
  IdIndex annotation_index_;
  std::set<int64_t> faulty_videos_;
  std::set<int64_t> faulty_categories_;
  std::vector<std::string> frame_faults_;  // of the item being read
  size_t num_listed_videos_ = 0;
  size_t num_listed_categories_ = 0;
  size_t num_annotations_ = 0;
  bool has_videos_ = false;
  bool has_categories_ = false;
};

/// Feeds the builder while the file is parsed. Annotations are dropped from memory as they are
/// read, unless they come before the lists that they refer to; then `finish` reads them.
class StreamReader {
 public:
  explicit StreamReader(Builder& builder) : builder_(builder) {}

  /// nlohmann's callback: false drops the value just parsed.
  bool on_event(int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::key && depth == 1) start_section(parsed.get_ref<const std::string&>());
    if (event == Event::array_end && depth == 1) {
      if (section_ == "videos" && !builder_.has_videos()) builder_.add_videos(parsed);
      if (section_ == "categories" && !builder_.has_categories()) builder_.add_categories(parsed);
    }
    const bool is_annotation =
        event == Event::object_end && depth == 2 && section_ == "annotations";
    if (!is_annotation || !builder_.ready() || has_waiting_) {
      has_waiting_ = has_waiting_ || is_annotation;
      return true;
    }
    builder_.add_annotation(parsed);
    return false;
  }

  void finish(const Json& root, const ReadOptions& options) {
    as_object(root, "the file");
    if (!builder_.has_videos()) builder_.add_videos(value_of(root, "videos"));
    if (!builder_.has_categories()) builder_.add_categories(value_of(root, "categories"));
    if (!options.require_annotations && find_value(root, "annotations") == nullptr) return;
    for (const Json& value : as_list(value_of(root, "annotations"), "'annotations'")) {
      builder_.add_annotation(value);
    }
  }

 private:
  void start_section(const std::string& name) {
    // A later list would silently replace one that annotations already refer to.
    if (std::find(sections_.begin(), sections_.end(), name) != sections_.end()) {
      throw DataError("expected each key once, got '" + name + "' a second time.");
    }
    sections_.push_back(name);
    section_ = name;
  }

  Builder& builder_;
  std::vector<std::string> sections_;
  std::string section_;
  bool has_waiting_ = false;
};

// Annotations are parsed at the same time, masks included, and added in the file's order.
void add_annotations(const std::vector<std::string_view>& texts, const MappedFile& file,
                     Builder& builder) {
  const auto json = [&](size_t i) {
    Json value = Json::parse(texts[i]);
    file.release(texts[i]);
    return value;
  };
  if (builder.collects_faults()) {
    for (size_t i = 0; i < texts.size(); ++i) builder.add_annotation(json(i));
    return;
  }
  std::vector<ParsedAnnotation> parsed(texts.size());
  parallel_for(texts.size(), 0,
               [&](size_t i) { parsed[i] = builder.parse(as_object(json(i), "annotation")); });
  for (ParsedAnnotation& annotation : parsed) builder.add_annotation(std::move(annotation));
}

// The whole file in parts, on every core. False, or an exception, where there is anything unusual:
// then the file is read from start to end, which words errors with their line.
bool read_in_parts(const std::filesystem::path& path, Builder& builder) {
  const MappedFile file(path);
  const auto items = split_object(file.text());
  if (!items) return false;
  std::string_view videos, categories, annotations;
  std::set<std::string_view> keys;
  for (const auto& [key, value] : *items) {
    if (!keys.insert(key).second || key.find('\\') != key.npos) return false;
    std::string_view* const known = key == "videos"        ? &videos
                                    : key == "categories"  ? &categories
                                    : key == "annotations" ? &annotations
                                                           : nullptr;
    if (known == nullptr) {
      if (!Json::accept(value)) return false;
    } else {
      *known = value;
    }
  }
  const auto texts = split_list(annotations);
  if (videos.empty() || categories.empty() || !texts) return false;
  builder.add_videos(Json::parse(videos));
  builder.add_categories(Json::parse(categories));
  add_annotations(*texts, file, builder);
  return true;
}

}  // namespace

void check_file_name(const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(name).lexically_normal();
  const bool inside = !name.empty() && name.find('\0') == name.npos && path.is_relative() &&
                      path.begin() != path.end() && *path.begin() != "..";
  if (inside) return;
  throw DataError("'file_names': expected a name within the data folder, got '" +
                  name.substr(0, name.find('\0')) +
                  "'. Names start at the image folder and do not leave it.");
}

AnnotationFile read_annotations(const std::filesystem::path& file, const ReadOptions& options) {
  try {
    Builder builder(file, options);
    if (read_in_parts(file, builder)) return builder.take();
  } catch (const DataError&) {  // worded better below
  } catch (const Json::exception&) {
  }
  if (options.faults != nullptr) options.faults->clear();
  Builder builder(file, options);
  StreamReader reader(builder);
  const auto file_name = [&] { return file.string(); };
  const Json root = parse_json_file(
      file,
      [&](int depth, Json::parse_event_t event, const Json& parsed) {
        return at_place(file_name, [&] { return reader.on_event(depth, event, parsed); });
      },
      [&] { return builder.progress(); });
  at_place(file_name, [&] { reader.finish(root, options); });
  return builder.take();
}

}  // namespace tessera::data
