#include "launcher/data/coco.h"

#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/error.h"
#include "launcher/data/json_parts.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/mapped_file.h"
#include "launcher/data/parallel_for.h"
#include "launcher/data/segmentation.h"

namespace tessera::data {
namespace {

using IdIndex = std::unordered_map<int64_t, size_t>;

std::string place_of(const Json& value, const std::string& what, size_t position) {
  if (const auto id = find_integer(value, "id")) return what + " " + std::to_string(*id);
  return what + "s[" + std::to_string(position) + "]";
}

size_t index_of(const IdIndex& known, int64_t id, const char* key, const char* list) {
  const auto found = known.find(id);
  if (found != known.end()) return found->second;
  throw DataError(std::string("'") + key + "': expected an id from '" + list + "', got " +
                  std::to_string(id) + ".");
}

class CocoReader {
 public:
  CocoReader(const std::filesystem::path& path, const std::set<int64_t>& categories)
      : path_(path), wanted_(categories), file_(path) {}

  AnnotationFile run() {
    result_.file = path_;
    const auto items = split_object(file_.text());
    if (!items) fail_syntax("COCO file", "an object with 'images', 'annotations', 'categories'");
    for (const auto& [key, value] : *items)
      if (key == "images" || key == "categories" || key == "annotations")
        if (!sections_.emplace(key, value).second)
          throw DataError("expected each key once, got '" + std::string(key) + "' a second time.");
    for_each("images", "image", [&](const Json& value) { add_image(value); });
    for_each("categories", "category", [&](const Json& value) { add_category(value); });
    if (result_.videos.empty())
      throw DataError("'images': expected at least one image, got an empty list.");
    for_each("annotations", "annotation", [&](const Json& value) { add_annotation(value); });
    if (result_.without_mask > 0 && result_.annotations.empty())
      throw DataError("'segmentation': expected polygons or an RLE, got none in all " +
                      std::to_string(result_.without_mask) +
                      " annotations. Boxes alone cannot be trained on.");
    return std::move(result_);
  }

 private:
  /// Something is no JSON: the parser, which reads from start to end, says where it goes wrong.
  [[noreturn]] void fail_syntax(const std::string& section, const std::string& expected) const {
    const auto drop = [](int, Json::parse_event_t, Json&) { return false; };
    try {
      parse_json_file(path_, drop, [&] { return section; });
    } catch (const DataError& error) {
      const std::string text = error.what();  // which begins with the file, as run's caller does
      throw DataError(text.substr(path_.string().size() + 2));
    }
    throw DataError(section + ": expected " + expected + ", got something else.");
  }

  template <typename Add>
  void for_each(const std::string& key, const std::string& what, const Add& add) {
    const auto section = sections_.find(key);
    if (section == sections_.end()) throw DataError("expected a key '" + key + "', got none.");
    const auto texts = split_list(section->second);
    if (!texts) fail_syntax("'" + key + "'", "a list");
    constexpr size_t kBatch = 64;  // parsed at once: they take several times the memory of the text
    std::vector<Json> parsed(std::min(kBatch, texts->size()));
    for (size_t first = 0; first < texts->size(); first += kBatch) {
      const size_t count = std::min(kBatch, texts->size() - first);
      parallel_for(count, 0, [&](size_t i) {
        parsed[i] = Json::parse((*texts)[first + i], nullptr, /*allow_exceptions=*/false);
        file_.release((*texts)[first + i]);
      });
      for (size_t i = 0; i < count; ++i) {
        if (parsed[i].is_discarded()) fail_syntax("'" + key + "'", "JSON");
        at_place([&] { return place_of(parsed[i], what, first + i); }, [&] { add(parsed[i]); });
      }
    }
  }

  void add_image(const Json& value) {
    as_object(value, "image");
    Video image{.id = as_integer(value_of(value, "id"), "'id'"),
                .width = as_integer(value_of(value, "width"), "'width'"),
                .height = as_integer(value_of(value, "height"), "'height'"),
                .length = 1,
                .file_names = {as_text(value_of(value, "file_name"), "'file_name'")}};
    check_mask_size(image.height, image.width);
    check_file_name(image.file_names[0]);
    if (!images_.emplace(image.id, result_.videos.size()).second) fail_duplicate(image.id);
    result_.videos.push_back(std::move(image));
  }

  void add_category(const Json& value) {
    as_object(value, "category");
    Category category{as_integer(value_of(value, "id"), "'id'"),
                      as_text(value_of(value, "name"), "'name'")};
    if (!categories_.emplace(category.id, result_.categories.size()).second)
      fail_duplicate(category.id);
    result_.categories.push_back(std::move(category));
  }

  void add_annotation(const Json& value) {
    as_object(value, "annotation");
    Annotation annotation;
    annotation.id = as_integer(value_of(value, "id"), "'id'");
    if (!annotation_ids_.insert(annotation.id).second) fail_duplicate(annotation.id);
    annotation.video_id = as_integer(value_of(value, "image_id"), "'image_id'");
    annotation.category_id = as_integer(value_of(value, "category_id"), "'category_id'");
    annotation.video_index = index_of(images_, annotation.video_id, "image_id", "images");
    annotation.category_index =
        index_of(categories_, annotation.category_id, "category_id", "categories");
    const Json* const crowd = find_value(value, "iscrowd");
    annotation.is_crowd = crowd != nullptr && as_flag(*crowd, "'iscrowd'");
    if (!wanted_.empty() && !wanted_.contains(annotation.category_id)) return;
    const Video& image = result_.videos[annotation.video_index];
    auto mask = at_place([&] { return "image " + std::to_string(image.id) + ": 'segmentation'"; },
                         [&]() -> std::optional<Rle> {
                           const Json* const stated = find_value(value, "segmentation");
                           if (stated == nullptr) return std::nullopt;
                           return read_segmentation(*stated, {.allow_uncompressed = true,
                                                              .allow_polygons = true,
                                                              .require_size = true,
                                                              .height = image.height,
                                                              .width = image.width});
                         });
    if (!mask) {
      ++result_.without_mask;  // a box only, as COCO's own readers leave out
      return;
    }
    annotation.areas = {static_cast<double>(area(*mask))};
    annotation.bboxes = {bounding_box(*mask)};
    annotation.segmentations.push_back(std::move(mask));
    result_.annotations.push_back(std::move(annotation));
  }

  [[noreturn]] static void fail_duplicate(int64_t id) {
    throw DataError("'id': expected unique ids, got " + std::to_string(id) + " a second time.");
  }

  const std::filesystem::path& path_;
  const std::set<int64_t>& wanted_;
  MappedFile file_;
  std::unordered_map<std::string_view, std::string_view> sections_;
  AnnotationFile result_;
  IdIndex images_;
  IdIndex categories_;
  std::unordered_set<int64_t> annotation_ids_;
};

}  // namespace

AnnotationFile read_coco(const std::filesystem::path& file, const std::set<int64_t>& categories) {
  return at_place([&] { return file.string(); },
                  [&] { return CocoReader(file, categories).run(); });
}

}  // namespace tessera::data
