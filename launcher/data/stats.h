#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/data/ytvis.h"

namespace tessera::data {

/// Smallest, middle (median) and largest of some numbers; zeros where there are none.
struct Spread {
  double smallest = 0;
  double median = 0;
  double largest = 0;
};

struct CategoryStats {
  int64_t id = 0;
  std::string name;
  int64_t videos = 0;  // with at least one object of it
  int64_t objects = 0;
  int64_t masks = 0;
};

/// What a data set holds; crowds are counted apart and nowhere else.
struct DataStats {
  int64_t videos = 0;
  int64_t frames = 0;
  int64_t objects = 0;
  int64_t crowds = 0;
  int64_t masks = 0;            // an object in a frame
  int64_t objects_in_gaps = 0;  // those that go away and come back
  Spread frames_of_video;
  Spread objects_of_video;
  Spread objects_of_frame;                             // visible at once
  Spread frames_of_object;                             // in which it is visible
  Spread mask_part;                                    // pixels of a mask, part of its frame
  std::vector<std::pair<std::string, int64_t>> sizes;  // "1280x720" -> videos, most first
  std::vector<CategoryStats> categories;               // in the file's order
};

DataStats count_data_set(const AnnotationFile& annotations);

}  // namespace tessera::data
