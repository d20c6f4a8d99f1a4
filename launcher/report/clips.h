#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "launcher/data/image_rules.h"
#include "launcher/data/ytvis.h"
#include "launcher/evaluation/results.h"

namespace tessera::report {

/// How well one video came out, and its frames with what was there and what was found.
struct ShownVideo {
  std::string name;
  double ap = 0;   // of this video alone, 0..1
  double fit = 0;  // mean over its tracks of the best overlap with a prediction of their class
  std::vector<std::string> truth, found;  // [frames] JPEG as base64
};

struct ClipChoice {
  int64_t best = 4, worst = 4;  // videos of each
  double smallest_score = 0.3;  // of the tracks that are drawn
  int64_t most_frames = 24;     // of a video; longer ones are shown at even distances
};

/// The best and the worst videos of a result, best first; fewer where there are not so many.
/// Throws DataError where an image cannot be read.
std::vector<ShownVideo> choose_clips(const data::AnnotationFile& truth,
                                     const evaluation::Results& results,
                                     const data::ImageSource& images, const ClipChoice& choice);

}  // namespace tessera::report
