#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <utility>
#include <vector>

#include "core/error.h"
#include "launcher/data/convert/convert.h"
#include "launcher/data/convert/frames.h"
#include "launcher/data/convert/label_number.h"
#include "launcher/data/convert/mask_shape.h"
#include "launcher/data/convert/track_builder.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/polygon.h"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

constexpr int kCirclePoints = 64;

using Outline = std::vector<double>;  // x, y, x, y, ... pixels

Outline read_points(const Json& shape, size_t at_least) {
  Outline xy;
  for (const Json& point : as_list(value_of(shape, "points"), "'points'")) {
    if (as_list(point, "'points'").size() != 2)
      throw DataError("'points': expected x, y, got " + describe(point) + ".");
    xy.push_back(as_finite_number(point[0], "'points'"));
    xy.push_back(as_finite_number(point[1], "'points'"));
  }
  if (xy.size() < 2 * at_least)
    throw DataError("'points': expected at least " + std::to_string(at_least) + " points, got " +
                    std::to_string(xy.size() / 2) + ".");
  return xy;
}

std::string shape_type(const Json& shape) {
  const Json* const type = find_value(shape, "shape_type");
  return type == nullptr ? "polygon" : as_text(*type, "'shape_type'");
}

bool has_inside(const std::string& kind) {
  return kind == "polygon" || kind == "rectangle" || kind == "circle" || kind == "mask";
}

Outline read_outline(const Json& shape, const std::string& kind) {
  if (kind == "polygon") return read_points(shape, 3);
  if (kind == "rectangle") {
    const Outline ends = read_points(shape, 2);
    if (ends.size() == 8) return ends;  // all corners, as some tools write it
    return {ends[0], ends[1], ends[2], ends[1], ends[2], ends[3], ends[0], ends[3]};
  }
  const Outline ends = read_points(shape, 2);  // a circle: its centre and a point on it
  const double radius = std::hypot(ends[2] - ends[0], ends[3] - ends[1]);
  Outline xy;
  for (int i = 0; i < kCirclePoints; ++i) {
    const double angle = 2 * std::numbers::pi * i / kCirclePoints;
    xy.push_back(ends[0] + radius * std::cos(angle));
    xy.push_back(ends[1] + radius * std::sin(angle));
  }
  return xy;
}

/// What the shapes of one object in a frame cover.
struct Parts {
  std::vector<Outline> outlines;
  std::vector<Rle> masks;
};

class LabelmeConverter {
 public:
  explicit LabelmeConverter(const ConvertOptions& options)
      : options_(options), tracks_(options.categories) {}

  AnnotationFile run() {
    check_is_folder(options_.input, "labelme files");
    check_is_folder(options_.images, "images");
    if (!list_json(options_.input).empty()) {
      add_video(options_.input, options_.images);
    } else {
      for (const auto& folder : list_folders(options_.input))
        at_place([&] { return "video '" + folder.filename().string() + "'"; },
                 [&] { add_video(folder, options_.images / folder.filename()); });
    }
    check_numbers();
    return at_place([&] { return options_.input.string(); }, [&] { return tracks_.take(); });
  }

 private:
  /// Both readings of "person-1" are usual, so the user chooses.
  void check_numbers() const {
    const std::string example = find_numbered(labels_);
    if (example.empty() || options_.label_numbers != LabelNumbers::kUnknown) return;
    const NumberedLabel parts = split_number(example).value();
    throw DataError(options_.input.string() +
                    ": expected labels that name categories, got labels that end in numbers, such "
                    "as '" +
                    example + "'. --label-numbers object makes it object " + parts.number +
                    " of the category '" + parts.name +
                    "', --label-numbers category keeps it as a category.");
  }

  static std::vector<fs::path> list_json(const fs::path& folder) {
    return list_folder(folder, [](const fs::directory_entry& entry) {
      return entry.is_regular_file() && lower_ending(entry.path()) == ".json";
    });
  }

  void add_video(const fs::path& folder, const fs::path& frame_folder) {
    const std::vector<fs::path> files = list_json(folder);
    if (files.empty())
      throw DataError(folder.string() + ": expected labelme files (.json), got none.");
    std::map<std::string, fs::path> of_frame;
    for (const auto& file : files) {
      const auto [other, is_new] = of_frame.emplace(file.stem().string(), file);
      if (!is_new)
        throw DataError(file.string() + ": expected one labelme file for each frame, got " +
                        other->second.filename().string() + ", too. Leave one of them.");
    }
    const FrameFolder frames = open_frame_folder(frame_folder, options_.rules);
    std::vector<fs::path> kept;
    std::vector<std::string> names;
    for (const auto& frame : frames.files) {
      const auto found = of_frame.find(frame.stem().string());
      // labelme writes no file for a frame that nobody opened, and one for a frame without objects.
      if (found == of_frame.end()) {
        if (options_.annotated_only) continue;
        throw DataError(frame.string() + ": expected a labelme file of that name in " +
                        folder.string() + ", got none. --annotated-only leaves such frames out.");
      }
      kept.push_back(found->second);
      names.push_back(name_within(options_.images, frame));
      of_frame.erase(found);
    }
    if (!of_frame.empty())
      throw DataError(of_frame.begin()->second.string() + ": expected a frame of that name in " +
                      frame_folder.string() + ", got none.");
    const size_t video = tracks_.add_video(frames.width, frames.height, names);
    for (size_t t = 0; t < kept.size(); ++t)
      at_place([&] { return kept[t].string() + ": frame " + std::to_string(t); },
               [&] { add_frame(video, static_cast<int64_t>(t), kept[t]); });
  }

  void add_frame(size_t video, int64_t frame, const fs::path& file) {
    const Json root = parse_json_file(
        file, [](int, Json::parse_event_t, Json&) { return true; }, [] { return "labelme"; });
    const Video owner = tracks_.video(video);
    as_object(root, "the file");
    const fs::path image = options_.images / owner.file_names.at(static_cast<size_t>(frame));
    check_extent(root, "imageWidth", owner.width, image);
    check_extent(root, "imageHeight", owner.height, image);
    // An object in several parts is several shapes of one label and group.
    std::map<std::pair<std::string, std::string>, Parts> objects;
    std::map<std::string, int> without_group;
    const Json& shapes = as_list(value_of(root, "shapes"), "'shapes'");
    for (size_t i = 0; i < shapes.size(); ++i)
      at_place([&] { return "shapes[" + std::to_string(i) + "]"; },
               [&] {
                 const Json& shape = as_object(shapes[i], "shape");
                 const std::string kind = shape_type(shape);
                 if (!has_inside(kind)) return skip(kind);
                 const std::string& label = as_text(value_of(shape, "label"), "'label'");
                 labels_.insert(label);
                 const Json* const group = find_value(shape, "group_id");
                 if (group == nullptr && ++without_group[label] > 1)
                   throw DataError(
                       "expected a 'group_id', which says what is one object in several "
                       "frames, got a second '" +
                       label + "' without.");
                 const std::string object =
                     group == nullptr
                         ? label
                         : label + " " + std::to_string(as_integer(*group, "'group_id'"));
                 Parts& parts = objects[{object, category_of(label)}];
                 if (kind == "mask")
                   parts.masks.push_back(read_mask_shape(shape, owner.height, owner.width));
                 else
                   parts.outlines.push_back(read_outline(shape, kind));
               });
    for (auto& [key, parts] : objects) {
      if (!parts.outlines.empty())
        parts.masks.push_back(rasterize_polygons(parts.outlines, owner.height, owner.width));
      Rle whole = std::move(parts.masks.front());
      for (size_t i = 1; i < parts.masks.size(); ++i) whole = merge(whole, parts.masks[i]);
      tracks_.add_mask(video, key.first, key.second, frame, std::move(whole));
    }
  }

  void skip(const std::string& kind) const {
    if (!options_.skip_unusable)
      throw DataError("'shape_type': expected polygon, rectangle, circle or mask, got '" + kind +
                      "', which has no inside. --skip-unusable leaves such shapes out.");
    options_.count("shapes of type '" + kind + "', left out");
  }

  std::string category_of(const std::string& label) const {
    if (options_.label_numbers != LabelNumbers::kObject) return label;
    const auto numbered = split_number(label);
    return numbered ? numbered->name : label;
  }

  void check_extent(const Json& root, const char* key, int64_t expected,
                    const fs::path& image) const {
    const Json* const value = find_value(root, key);
    if (value == nullptr || as_integer(*value, key) == expected) return;
    throw DataError(std::string("'") + key + "': expected " + std::to_string(expected) +
                    " as its frame, got " + describe(*value) + "." +
                    orientation_hint(image, options_.rules));
  }

  const ConvertOptions& options_;
  TrackBuilder tracks_;
  std::set<std::string> labels_;  // that occur
};

}  // namespace

AnnotationFile convert_labelme(const ConvertOptions& options) {
  return LabelmeConverter(options).run();
}

}  // namespace tessera::data
