#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launcher/data/rle.h"

namespace tessera::data {

struct Video {
  int64_t id = 0;
  int64_t width = 0;                    // pixels
  int64_t height = 0;                   // pixels
  int64_t length = 0;                   // frames
  std::vector<std::string> file_names;  // one for each frame, relative to the image folder
};

struct Category {
  int64_t id = 0;
  std::string name;
};

/// How much of an object other objects hide in one frame (OVIS).
enum class Occlusion : uint8_t { kNone, kSlight, kSevere };

/// One object through one video. Each list holds one entry for each frame of the video (with
/// `compatible`: as many as the file says); an entry is absent where the object is.
struct Annotation {
  int64_t id = 0;
  int64_t video_id = 0;
  int64_t category_id = 0;
  size_t video_index = 0;     // into AnnotationFile::videos
  size_t category_index = 0;  // into AnnotationFile::categories
  bool is_crowd = false;
  std::vector<std::optional<Rle>> segmentations;
  std::vector<std::optional<double>> areas;         // square pixels, as stated in the file
  std::vector<std::optional<Box>> bboxes;           // as stated, or from the masks where not stated
  std::vector<std::optional<Occlusion>> occlusion;  // empty: the file states none
};

/// A YouTube-VIS or OVIS annotation file, checked, everything in the order of the file.
struct AnnotationFile {
  std::filesystem::path file;
  std::vector<Video> videos;
  std::vector<Category> categories;
  std::vector<Annotation> annotations;
  bool has_annotations = true;  // false: none are public; the file serves inference only
  int64_t without_mask = 0;     // of COCO: annotations that are boxes only and were left out
};

struct ReadOptions {
  /// Accept what the reference scorer accepts: lists shorter or longer than the video, masks of
  /// another size, annotations of unlisted videos and categories (dropped), videos without frames.
  bool compatible = false;
  /// Files for inference only (validation and test sets) have no annotations or null: set to false.
  bool require_annotations = true;
  /// Where given, what is wrong with a video, category or annotation is added here, one line each,
  /// and that item, or its faulty frame, is left out; faults that end the reading are still thrown.
  std::vector<std::string>* faults = nullptr;
};

/// Throws DataError unless a file name of an annotation file is one that stays within its data
/// folder: not empty, not absolute, no way up and out.
void check_file_name(const std::string& name);

/// Reads a YouTube-VIS annotation file. Masks may be compressed RLE, RLE lists or polygons. Where
/// they are absent, 'iscrowd' is 0, and 'length', 'areas' and 'bboxes' are derived.
/// Throws DataError that names file, video, annotation and frame for anything that is not right.
AnnotationFile read_annotations(const std::filesystem::path& file, const ReadOptions& options = {});

}  // namespace tessera::data
