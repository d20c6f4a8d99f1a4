#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/schema.h"

namespace tessera {

/// `[data.train]` and `[data.validation]`: where one split lies. Relative paths start at the
/// working directory.
struct SplitOptions {
  std::string annotations;
  std::string images;
  static void describe(Schema<SplitOptions>& schema);
};

/// `[data.sampling]`: which frames of a video become a training clip.
struct SamplingOptions {
  std::string kind = "window_ending_at";
  int64_t stride = 1;
  int64_t every = 1;
  int64_t reach = 20;
  static void describe(Schema<SamplingOptions>& schema);
};

/// `[data.normalise]`: (value - mean) / deviation of each channel, R G B in 0..1.
/// The defaults are the usual ImageNet numbers.
struct NormaliseOptions {
  std::string by = "constants";
  std::vector<double> mean{0.485, 0.456, 0.406};
  std::vector<double> deviation{0.229, 0.224, 0.225};
  static void describe(Schema<NormaliseOptions>& schema);
};

/// One of `data.augment.steps`. Every number that a step draws holds for the whole clip.
struct AugmentStepOptions {
  std::string kind = "flip";
  double probability = 1.0;
  std::vector<int64_t> short_sides;        // resize; crop: resize first
  std::optional<int64_t> max_side;         // with short_sides
  std::optional<int64_t> smallest;         // crop, pixels
  std::optional<int64_t> largest;          // crop, pixels
  std::optional<bool> per_frame;           // photometric
  std::optional<bool> wrap_overflow;       // photometric
  std::optional<double> shuffle_channels;  // photometric, probability
  static void describe(Schema<AugmentStepOptions>& schema);
};

/// `[data.augment]`: random steps in their order, then one last resize of every training clip.
struct AugmentOptions {
  std::vector<AugmentStepOptions> steps;
  std::optional<int64_t> short_side;
  std::optional<int64_t> max_side;
  static void describe(Schema<AugmentOptions>& schema);
};

/// `[data]`: where clips come from and what happens to them before the model sees them.
struct DataOptions {
  int64_t num_frames = 1;
  int64_t num_categories = 1;
  SplitOptions train;
  SplitOptions validation;
  SamplingOptions sampling;
  NormaliseOptions normalise;
  AugmentOptions augment;
  int64_t min_visible_pixels = 1;
  int64_t workers = 2;
  static void describe(Schema<DataOptions>& schema);
};

}  // namespace tessera
