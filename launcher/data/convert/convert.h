#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/data/image_rules.h"
#include "launcher/data/ytvis.h"

namespace tessera::data {

/// What was left out or joined: "annotations without a mask, left out" -> how many.
using ConvertCounts = std::map<std::string, int64_t>;

/// What a number at the end of a label means: "person-1".
enum class LabelNumbers {
  kUnknown,   // labels that end so are an error
  kObject,    // object 1 of the category "person"
  kCategory,  // the category "person-1"
};

/// What `tessera data convert` is told.
struct ConvertOptions {
  std::filesystem::path input;          // what holds the masks
  std::filesystem::path images;         // folder that file names start at
  std::vector<std::string> categories;  // in the order of their ids; empty: those that occur
  std::string category = "object";      // of formats that name none
  std::filesystem::path labels;         // davis: categories of the objects, or empty
  std::optional<int64_t> void_label;    // davis: pixels that count as background
  bool annotated_only = false;          // leave out frames without masks
  /// coco, labelme: leave out, and count, annotations without a mask and shapes without an inside
  /// instead of refusing them.
  bool skip_unusable = false;
  LabelNumbers label_numbers = LabelNumbers::kUnknown;  // labelme
  bool allow_thin_labels = false;                       // davis: see thin_labels.h
  ImageRules rules;                                     // how the frames' sizes are read
  ConvertCounts* counts = nullptr;                      // where given, filled

  void count(const std::string& what) const {
    if (counts != nullptr) ++(*counts)[what];
  }
};

/// A folder of index PNGs for each video, as DAVIS and YouTube-VOS have them:
/// `<input>/<video>/<frame>.png` beside `<images>/<video>/<frame>.jpg`. `labels` is YouTube-VOS's
/// meta.json: {"videos": {"<video>": {"objects": {"<index>": {"category": "<name>"}}}}}.
AnnotationFile convert_davis(const ConvertOptions& options);

/// A COCO file of single frames, the annotations with "track_id" (or "instance_id"), which CVAT
/// keeps in "attributes"; those that are "outside" (the object has left) are counted and left out.
/// Images of one video share "video_id" (or their folder) and are ordered by "frame_id" (or their
/// names). Several annotations of one object in a frame are its parts.
AnnotationFile convert_coco(const ConvertOptions& options);

/// labelme: one JSON with polygons, rectangles, circles and masks for each frame,
/// `<input>/<video>/<frame>.json` (or all of one video directly in `<input>`). "group_id" tells the
/// objects of one label apart.
AnnotationFile convert_labelme(const ConvertOptions& options);

/// MOTS text (MOTSChallenge, KITTI MOTS): `<input>/<sequence>.txt` with lines
/// `frame object class height width rle`, frames in `<images>/<sequence>`.
AnnotationFile convert_mots(const ConvertOptions& options);

// All throw DataError naming file, video and frame for what is not right.

}  // namespace tessera::data
