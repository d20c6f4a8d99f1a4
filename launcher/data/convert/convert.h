#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launcher/data/ytvis.h"

namespace tessera::data {

/// What `tessera data convert` is told.
struct ConvertOptions {
  std::filesystem::path input;          // what holds the masks
  std::filesystem::path images;         // folder that file names start at
  std::vector<std::string> categories;  // in the order of their ids; empty: those that occur
  std::string category = "object";      // of formats that name none
  std::filesystem::path labels;         // davis: categories of the objects, or empty
  std::optional<int64_t> void_label;    // davis: pixels that count as background
  bool annotated_only = false;          // leave out frames without masks
};

/// A folder of index PNGs for each video, as DAVIS and YouTube-VOS have them:
/// `<input>/<video>/<frame>.png` beside `<images>/<video>/<frame>.jpg`. `labels` is YouTube-VOS's
/// meta.json: {"videos": {"<video>": {"objects": {"<index>": {"category": "<name>"}}}}}.
AnnotationFile convert_davis(const ConvertOptions& options);

/// A COCO file of single frames, the annotations with "track_id" (or "instance_id"); images of one
/// video share "video_id" (or their folder) and are ordered by "frame_id" (or their names).
AnnotationFile convert_coco(const ConvertOptions& options);

/// labelme: one JSON with polygons for each frame, `<input>/<video>/<frame>.json` (or all of one
/// video directly in `<input>`). "group_id" tells the objects of one label apart.
AnnotationFile convert_labelme(const ConvertOptions& options);

/// MOTS text (MOTSChallenge, KITTI MOTS): `<input>/<sequence>.txt` with lines
/// `frame object class height width rle`, frames in `<images>/<sequence>`.
AnnotationFile convert_mots(const ConvertOptions& options);

// All throw DataError naming file, video and frame for what is not right.

}  // namespace tessera::data
