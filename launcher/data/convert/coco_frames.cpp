#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "core/error.h"
#include "launcher/data/convert/convert.h"
#include "launcher/data/convert/frames.h"
#include "launcher/data/convert/track_builder.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/natural_order.h"
#include "launcher/data/segmentation.h"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

struct Image {
  int64_t id = 0;
  int64_t width = 0, height = 0;  // pixels
  std::string file_name;
  std::string video;                // what images of one video share
  std::optional<int64_t> position;  // 'frame_id'
};

/// Where an image's masks go.
struct Place {
  size_t video = 0;
  int64_t frame = 0;
};

std::string id_text(const Json& value, const std::string& what) {
  if (value.is_string()) return value.get<std::string>();
  return std::to_string(as_integer(value, what));
}

const Json* find_either(const Json& object, const char* first, const char* second) {
  const Json* const found = find_value(object, first);
  return found != nullptr ? found : find_value(object, second);
}

/// The track's id, where tools keep it.
const Json* find_track(const Json& annotation) {
  if (const Json* const own = find_either(annotation, "track_id", "instance_id")) return own;
  const Json* const attributes = find_value(annotation, "attributes");  // CVAT, Datumaro
  if (attributes == nullptr || !attributes->is_object()) return nullptr;
  return find_either(*attributes, "track_id", "instance_id");
}

/// CVAT's mark of an object that has left the picture.
bool is_outside(const Json& annotation) {
  const Json* const attributes = find_value(annotation, "attributes");
  const Json* value = find_value(annotation, "outside");
  if (value == nullptr && attributes != nullptr && attributes->is_object())
    value = find_value(*attributes, "outside");
  if (value == nullptr) return false;
  if (value->is_string()) return *value == "true" || *value == "True" || *value == "1";
  return as_flag(*value, "'outside'");
}

/// Whether an annotation without a mask has a box of some size; without, the object is absent, as
/// null says in YouTube-VIS.
bool has_box(const Json& annotation) {
  const Json* const box = find_value(annotation, "bbox");
  if (box == nullptr || !box->is_array() || box->size() != 4) return false;
  return as_finite_number((*box)[2], "'bbox'") > 0 && as_finite_number((*box)[3], "'bbox'") > 0;
}

Image read_image_entry(const Json& value, const fs::path& images) {
  as_object(value, "image");
  Image image{.id = as_integer(value_of(value, "id"), "'id'"),
              .width = as_integer(value_of(value, "width"), "'width'"),
              .height = as_integer(value_of(value, "height"), "'height'"),
              .file_name = as_text(value_of(value, "file_name"), "'file_name'"),
              .video = {},
              .position = std::nullopt};
  check_mask_size(image.height, image.width);
  check_file_name(image.file_name);
  image.file_name = name_within(images, find_image(images, image.file_name));
  const Json* const video = find_value(value, "video_id");
  image.video = video != nullptr ? id_text(*video, "'video_id'")
                                 : fs::path(image.file_name).parent_path().generic_string();
  if (const Json* const frame = find_either(value, "frame_id", "frame_index"))
    image.position = as_integer(*frame, "'frame_id'");
  return image;
}

/// Frames in order of time. Throws DataError where the order is not clear.
void sort_frames(std::vector<const Image*>& frames, const std::string& video) {
  const bool numbered = frames.front()->position.has_value();
  for (const Image* image : frames)
    if (image->position.has_value() != numbered)
      throw DataError("video '" + video + "': expected 'frame_id' in all images or in none, got " +
                      "some without: image " + std::to_string(image->id) + ".");
  std::sort(frames.begin(), frames.end(), [&](const Image* a, const Image* b) {
    return numbered ? *a->position < *b->position : natural_less(a->file_name, b->file_name);
  });
  for (size_t t = 1; t < frames.size(); ++t) {
    if (numbered && frames[t]->position == frames[t - 1]->position)
      throw DataError("video '" + video + "': expected every 'frame_id' once, got " +
                      std::to_string(*frames[t]->position) + " a second time, image " +
                      std::to_string(frames[t]->id) + ".");
    if (frames[t]->width != frames[0]->width || frames[t]->height != frames[0]->height)
      throw DataError("video '" + video + "', image " + std::to_string(frames[t]->id) +
                      ": expected " + std::to_string(frames[0]->width) + "x" +
                      std::to_string(frames[0]->height) + " pixels as the frames before, got " +
                      std::to_string(frames[t]->width) + "x" + std::to_string(frames[t]->height) +
                      ". Frames of a video have one size.");
  }
}

class CocoConverter {
 public:
  CocoConverter(const ConvertOptions& options, const Json& root)
      : options_(options), root_(as_object(root, "the file")), tracks_(category_names(options)) {}

  AnnotationFile run() {
    read_images();
    const Json& annotations = as_list(value_of(root_, "annotations"), "'annotations'");
    for (size_t i = 0; i < annotations.size(); ++i) {
      const std::string place = place_of(annotations[i], i);
      at_place([&] { return place; }, [&] { add(annotations[i], place); });
    }
    check_masks(annotations.size());
    return tracks_.take();
  }

 private:
  /// The file's categories in order of their ids, unless --categories says otherwise.
  std::vector<std::string> category_names(const ConvertOptions& options) {
    std::map<int64_t, std::string> names;
    for (const Json& value : as_list(value_of(root_, "categories"), "'categories'")) {
      as_object(value, "category");
      const int64_t id = as_integer(value_of(value, "id"), "'id'");
      if (!names.emplace(id, as_text(value_of(value, "name"), "'name'")).second)
        throw DataError("'categories': expected unique ids, got " + std::to_string(id) +
                        " a second time.");
    }
    categories_ = names;
    if (!options.categories.empty()) return options.categories;
    std::vector<std::string> list;
    for (const auto& [id, name] : names) list.push_back(name);
    return list;
  }

  static std::string place_of(const Json& value, size_t position) {
    const auto id = find_integer(value, "id");
    return id ? "annotation " + std::to_string(*id)
              : "annotations[" + std::to_string(position) + "]";
  }

  /// Boxes alone are no masks: silently left out, they would make objects absent.
  void check_masks(size_t annotations) const {
    if (without_mask_ == 0) return;
    if (options_.skip_unusable && has_mask_) return;
    throw DataError("'segmentation': expected polygons or an RLE, got none in " +
                    std::to_string(without_mask_) + " of " + std::to_string(annotations) +
                    " annotations, which are boxes only; the first: " + first_without_mask_ + ". " +
                    (has_mask_ ? "--skip-unusable leaves them out." : "No mask is left."));
  }

  void read_images() {
    const Json& list = as_list(value_of(root_, "images"), "'images'");
    for (size_t i = 0; i < list.size(); ++i)
      at_place([&] { return "images[" + std::to_string(i) + "]"; },
               [&] { images_.push_back(read_image_entry(list[i], options_.images)); });
    std::map<std::string, std::vector<const Image*>> videos;
    for (const Image& image : images_) videos[image.video].push_back(&image);
    std::vector<std::string> names;
    for (auto& [name, frames] : videos) names.push_back(name);
    std::sort(names.begin(), names.end(), natural_less);
    for (const std::string& name : names) {
      std::vector<const Image*>& frames = videos[name];
      sort_frames(frames, name);
      std::vector<std::string> files;
      std::set<std::string> known;
      for (const Image* image : frames) {
        if (!known.insert(image->file_name).second)
          throw DataError("video '" + name + "': expected every file once, got '" +
                          image->file_name + "' a second time, image " + std::to_string(image->id) +
                          ".");
        files.push_back(image->file_name);
        check_image(*image, name);
      }
      const size_t video = tracks_.add_video(frames[0]->width, frames[0]->height, files);
      for (size_t t = 0; t < frames.size(); ++t)
        if (!places_.emplace(frames[t]->id, Place{video, static_cast<int64_t>(t)}).second)
          throw DataError("'images': expected unique ids, got " + std::to_string(frames[t]->id) +
                          " a second time.");
    }
  }

  void check_image(const Image& image, const std::string& video) const {
    at_place([&] { return "video '" + video + "', image " + std::to_string(image.id); },
             [&] {
               const auto file = options_.images / image.file_name;
               const auto [width, height] = size_of_image(file, options_.rules);
               if (width != image.width || height != image.height)
                 throw DataError(file.string() + ": expected " + std::to_string(image.width) + "x" +
                                 std::to_string(image.height) + " pixels as the file says, got " +
                                 std::to_string(width) + "x" + std::to_string(height) + "." +
                                 orientation_hint(file, options_.rules));
             });
  }

  void add(const Json& value, const std::string& place_text) {
    as_object(value, "annotation");
    const int64_t image_id = as_integer(value_of(value, "image_id"), "'image_id'");
    const auto place = places_.find(image_id);
    if (place == places_.end())
      throw DataError("'image_id': expected an id from 'images', got " + std::to_string(image_id) +
                      ".");
    const int64_t category_id = as_integer(value_of(value, "category_id"), "'category_id'");
    const auto category = categories_.find(category_id);
    if (category == categories_.end())
      throw DataError("'category_id': expected an id from 'categories', got " +
                      std::to_string(category_id) + ".");
    if (is_outside(value)) return options_.count("annotations outside the frame, left out");
    const Json* const stated = find_value(value, "segmentation");
    if (stated == nullptr || is_empty_segmentation(*stated)) {
      if (!has_box(value)) return;  // absent, as in YouTube-VIS
      if (without_mask_++ == 0) first_without_mask_ = place_text;
      return options_.count("annotations without a mask, left out");
    }
    has_mask_ = true;
    const Json* const track = find_track(value);
    if (track == nullptr)
      throw DataError(
          "expected a 'track_id' (or 'instance_id', in 'attributes', too), which says what is one "
          "object in several frames, got none. Without it the file holds single images: train on "
          "them unchanged, kind = \"coco\".");
    const Video& video = tracks_.video(place->second.video);
    const auto frame = place->second.frame;
    at_place(
        [&] { return "video " + std::to_string(video.id) + ", frame " + std::to_string(frame); },
        [&] {
          auto mask = read_segmentation(*stated, {.allow_uncompressed = true,
                                                  .allow_polygons = true,
                                                  .require_size = true,
                                                  .height = video.height,
                                                  .width = video.width});
          const Json* const crowd = find_value(value, "iscrowd");
          const bool is_part = tracks_.add_part(place->second.video, id_text(*track, "'track_id'"),
                                                category->second, frame, std::move(mask.value()),
                                                crowd != nullptr && as_flag(*crowd, "'iscrowd'"));
          if (is_part) options_.count("parts joined with another mask of their object");
        });
  }

  const ConvertOptions& options_;
  const Json& root_;
  std::map<int64_t, std::string> categories_;
  TrackBuilder tracks_;
  std::vector<Image> images_;
  std::map<int64_t, Place> places_;
  bool has_mask_ = false;
  int64_t without_mask_ = 0;
  std::string first_without_mask_;
};

}  // namespace

AnnotationFile convert_coco(const ConvertOptions& options) {
  check_is_folder(options.images, "images");
  const Json root = parse_json_file(
      options.input, [](int, Json::parse_event_t, Json&) { return true; },
      [] { return "COCO file"; });
  return at_place([&] { return options.input.string(); },
                  [&] { return CocoConverter(options, root).run(); });
}

}  // namespace tessera::data
