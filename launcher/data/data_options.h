#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/config/schema.h"
#include "launcher/data/image_rules.h"

namespace tessera {

/// `pseudo_clip` of a set of single images: how one image becomes a clip. The defaults are those of
/// the joint training of SeqFormer and MS-STS VIS.
struct PseudoClipOptions {
  bool photometric = false;
  double perspective = 0.08;
  double rotate = 20;
  double translate = 0.1;
  double blur_probability = 0.25;
  std::vector<int64_t> blur_sizes{9, 11};
  double brightness = 40;
  double hue_saturation = 5;
  bool shuffle = true;
  int64_t min_instances = 1;
  int64_t max_instances = 25;
  static void describe(Schema<PseudoClipOptions>& schema);
};

/// One of `data.train.sets`: a data set of joint training.
struct SetOptions {
  std::string kind = "ytvis";
  std::string annotations;
  std::string images;
  double ratio = 1;
  std::vector<std::vector<int64_t>> class_map;
  PseudoClipOptions pseudo_clip;
  static void describe(Schema<SetOptions>& schema);
};

/// `[data.train]` and `[data.validation]`: where one split lies. Relative paths start at the
/// working directory.
struct SplitOptions {
  std::string annotations;
  std::string images;
  std::vector<SetOptions> sets = {};
  static void describe(Schema<SplitOptions>& schema);
};

/// `[data.sampling]`: which frames of a video become a training clip, by the sampler that `kind`
/// names.
struct SamplingOptions : PluginChoice {
  static constexpr const char* kPluginKind = "sampler";
  SamplingOptions() { name = "window_ending_at"; }
  bool redraw_empty = false;
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

/// One of `data.augment.steps`: the augmentation that `kind` names.
struct AugmentStepOptions : PluginChoice {
  static constexpr const char* kPluginKind = "augmentation";
  double probability = 1.0;
  static void describe(Schema<AugmentStepOptions>& schema);
};

/// `[data.augment]`: random steps in their order, then one last resize of every training clip.
struct AugmentOptions {
  std::vector<AugmentStepOptions> steps;
  std::optional<int64_t> short_side;
  std::optional<int64_t> max_side;
  static void describe(Schema<AugmentOptions>& schema);
};

/// One of `data.categories`.
struct CategoryOptions {
  int64_t id = 0;
  std::string name;
  static void describe(Schema<CategoryOptions>& schema);
};

/// `[data]`: where clips come from and what happens to them before the model sees them.
struct DataOptions {
  int64_t num_frames = 1;
  int64_t num_categories = 1;
  std::vector<CategoryOptions> categories;
  SplitOptions train;
  SplitOptions validation;
  SamplingOptions sampling;
  std::string resize = "fast";
  std::string resize_rounding = "nearest";
  NormaliseOptions normalise;
  AugmentOptions augment;
  bool turn_by_exif = false;
  int64_t white_level = 0;
  int64_t min_visible_pixels = 1;
  int64_t workers = 2;

  /// How the images of all splits are read.
  data::ImageRules image_rules() const {
    return {.turn_by_exif = turn_by_exif, .white_level = white_level};
  }
  static void describe(Schema<DataOptions>& schema);
};

}  // namespace tessera
