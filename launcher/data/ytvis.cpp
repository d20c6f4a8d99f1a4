#include "launcher/data/ytvis.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "launcher/data/annotation_builder.h"
#include "launcher/data/json_parts.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/mapped_file.h"
#include "launcher/data/parallel_for.h"

namespace tessera::data {
namespace {

/// Feeds the builder while the file is parsed. Annotations are dropped from memory as they are
/// read, unless they come before the lists that they refer to; then `finish` reads them.
class StreamReader {
 public:
  explicit StreamReader(AnnotationBuilder& builder) : builder_(builder) {}

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
    if (!builder_.has_videos() && find_value(root, "videos") == nullptr &&
        find_value(root, "images") != nullptr)
      throw DataError(
          "expected a key 'videos', got 'images', as in COCO. A file of frames with track ids is "
          "converted: tessera data convert --from coco; images are trained on with kind = "
          "\"coco\" in data.train.sets.");
    if (!builder_.has_videos()) builder_.add_videos(value_of(root, "videos"));
    if (!builder_.has_categories()) builder_.add_categories(value_of(root, "categories"));
    if (find_value(root, "annotations") == nullptr) {
      if (options.require_annotations)
        throw DataError(
            "'annotations': expected a list, got none or null. The set has no public annotations: "
            "inference only. Train and score with a set that has them.");
      return builder_.set_without_annotations();
    }
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

  AnnotationBuilder& builder_;
  std::vector<std::string> sections_;
  std::string section_;
  bool has_waiting_ = false;
};

// Annotations are parsed at the same time, masks included, and added in the file's order.
void add_annotations(const std::vector<std::string_view>& texts, const MappedFile& file,
                     AnnotationBuilder& builder) {
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
bool read_in_parts(const std::filesystem::path& path, AnnotationBuilder& builder) {
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
    AnnotationBuilder builder(file, options);
    if (read_in_parts(file, builder)) return builder.take();
  } catch (const DataError&) {  // worded better below
  } catch (const Json::exception&) {
  }
  if (options.faults != nullptr) options.faults->clear();
  AnnotationBuilder builder(file, options);
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
