#pragma once

#include <optional>

#include "launcher/data/json_reader.h"
#include "launcher/data/rle.h"

namespace tessera::data {

/// Which of the ways to write a mask a file may use.
struct SegmentationRules {
  bool allow_uncompressed = false;  // counts as a list of numbers
  bool allow_polygons = false;      // needs height and width
  bool require_size = false;        // the mask must be height x width
  int64_t height = 0;               // of the video, pixels
  int64_t width = 0;
};

/// Whether a value holds no mask: null, [], {}, or a list of empty polygons.
bool is_empty_segmentation(const Json& value);

/// One frame of a 'segmentations' list; nothing where is_empty_segmentation is true.
/// Throws DataError that says what was found, without the place.
std::optional<Rle> read_segmentation(const Json& value, const SegmentationRules& rules);

}  // namespace tessera::data
