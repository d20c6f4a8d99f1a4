#include "launcher/data/ytvis_writer.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::data {
namespace {

using Ordered = nlohmann::ordered_json;

Ordered to_json(const Category& category) {
  return {{"id", category.id}, {"name", category.name}};
}

Ordered to_json(const Video& video) {
  return {{"id", video.id},
          {"width", video.width},
          {"height", video.height},
          {"length", video.length},
          {"file_names", video.file_names}};
}

std::string_view occlusion_name(Occlusion occlusion) {
  switch (occlusion) {
    case Occlusion::kNone:
      return "no_occlusion";
    case Occlusion::kSlight:
      return "slight_occlusion";
    case Occlusion::kSevere:
      return "severe_occlusion";
  }
  return "";
}

template <typename Value, typename Write>
Ordered frames_json(const std::vector<std::optional<Value>>& values, const Write& write) {
  Ordered list = Ordered::array();
  for (const auto& value : values) list.push_back(value ? write(*value) : Ordered(nullptr));
  return list;
}

Ordered to_json(const Annotation& annotation) {
  Ordered object = {{"id", annotation.id},
                    {"video_id", annotation.video_id},
                    {"category_id", annotation.category_id},
                    {"iscrowd", annotation.is_crowd ? 1 : 0}};
  object["segmentations"] = frames_json(annotation.segmentations, [](const Rle& rle) -> Ordered {
    return {{"size", {rle.height, rle.width}}, {"counts", encode_counts(rle)}};
  });
  object["bboxes"] = frames_json(annotation.bboxes, [](const Box& box) -> Ordered {
    return Ordered::array({box.x, box.y, box.width, box.height});
  });
  object["areas"] = frames_json(annotation.areas, [](double area) { return Ordered(area); });
  if (!annotation.occlusion.empty())
    object["occlusion"] = frames_json(annotation.occlusion, [](Occlusion occlusion) {
      return Ordered(std::string(occlusion_name(occlusion)));
    });
  return object;
}

/// Names come from file systems, which take any bytes; JSON does not.
std::string text_of(const Ordered& value) {
  try {
    return value.dump();
  } catch (const nlohmann::json::exception& error) {
    throw DataError("expected names of files and categories in UTF-8, got '" +
                    value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
                    "'. Rename them.");
  }
}

/// One value of the list on each line: large files stay readable and are never one string.
template <typename Value>
void write_list(AtomicFile& file, std::string_view key, const std::vector<Value>& values) {
  file.write(",\n\"" + std::string(key) + "\": [");
  for (size_t i = 0; i < values.size(); ++i)
    file.write((i == 0 ? "\n" : ",\n") + text_of(to_json(values[i])));
  file.write("\n]");
}

}  // namespace

void write_annotations(const std::filesystem::path& file, const AnnotationFile& annotations,
                       const std::string& description) {
  std::error_code ignored;  // AtomicFile says what is wrong with the folder
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), ignored);
  AtomicFile out(file);
  out.write("{\n\"info\": " + Ordered{{"description", description}}.dump());
  write_list(out, "categories", annotations.categories);
  write_list(out, "videos", annotations.videos);
  write_list(out, "annotations", annotations.annotations);
  out.write("\n}\n");
  out.commit();
}

void check_may_write(const std::filesystem::path& file, bool overwrite, const std::string& what) {
  if (overwrite || !std::filesystem::exists(file) || is_written_directly(file)) return;
  throw ConfigError(what + ": expected a file that is not there yet, got " + file.string() +
                    ". Choose another name or add --overwrite.");
}

}  // namespace tessera::data
