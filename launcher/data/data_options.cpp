#include "launcher/data/data_options.h"

#include <string>
#include <string_view>

namespace tessera {
namespace {

void check_three(const std::vector<double>& values, std::string_view key) {
  if (values.size() == 3) return;
  throw ConfigError(std::string(key) + ": expected three numbers (R, G, B), got " +
                    std::to_string(values.size()) + ".");
}

}  // namespace

void PseudoClipOptions::describe(Schema<PseudoClipOptions>& schema) {
  using Options = PseudoClipOptions;
  schema.field(
      "photometric", &Options::photometric,
      "Do the photometric steps of data.augment, too. SeqFormer's code does them on videos "
      "only.");
  schema
      .field("perspective", &Options::perspective,
             "Standard deviation of how far each corner moves inwards, part of the image's side.")
      .between(0, 0.4);
  schema
      .field("rotate", &Options::rotate, "Largest rotation about the centre, degrees, either way.")
      .between(0, 180);
  schema
      .field("translate", &Options::translate,
             "Largest shift, part of the image's sides, either way; the same part along x and y.")
      .between(0, 1);
  schema
      .field("blur_probability", &Options::blur_probability,
             "How often a frame gets motion blur, along a line of drawn direction, evenly or more "
             "towards one end.")
      .between(0, 1);
  schema
      .field("blur_sizes", &Options::blur_sizes, "Lengths of that line to draw from, pixels, odd.")
      .between(1, 99);
  schema
      .field(
          "brightness", &Options::brightness,
          "Largest change of brightness, levels of 0..255, either way. Half of the frames get this "
          "and hue_saturation, a quarter this alone, a quarter hue_saturation alone.")
      .between(0, 255);
  schema
      .field("hue_saturation", &Options::hue_saturation,
             "Largest change of hue and saturation on a scale of 0..255, either way: one whole "
             "number for both.")
      .between(0, 255);
  schema.field("shuffle", &Options::shuffle,
               "Put the frames, the image itself among them, in a drawn order.");
  schema
      .field("min_instances", &Options::min_instances,
             "Images with fewer instances are left out. If augmentation leaves a clip with fewer, "
             "another image of the set is drawn.")
      .at_least(0);
  schema
      .field("max_instances", &Options::max_instances,
             "If a clip has more instances after augmentation, another image of the set is drawn.")
      .at_least(1);
  schema.validate([](const Options& options) {
    for (const int64_t size : options.blur_sizes)
      if (size % 2 == 0)
        throw ConfigError("blur_sizes: expected odd sizes, got " + std::to_string(size) + ".");
    if (options.blur_sizes.empty() && options.blur_probability > 0)
      throw ConfigError(
          "blur_sizes: expected at least one size, got none. Set "
          "blur_probability = 0 to go without.");
    if (options.min_instances > options.max_instances)
      throw ConfigError("min_instances: expected at most max_instances, " +
                        std::to_string(options.max_instances) + ", got " +
                        std::to_string(options.min_instances) + ".");
  });
}

void SetOptions::describe(Schema<SetOptions>& schema) {
  schema
      .field("kind", &SetOptions::kind,
             "ytvis: videos, a file in the layout of YouTube-VIS and OVIS; coco: single images, a "
             "file in the layout of COCO, each a clip of one frame or, where data.num_frames is "
             "more, a pseudo-clip.")
      .one_of({"ytvis", "coco"});
  schema.field("annotations", &SetOptions::annotations, "Annotation file.").required();
  schema.field("images", &SetOptions::images, "Folder that the file's names start at.").required();
  schema
      .field("ratio", &SetOptions::ratio,
             "Samples of the set in an epoch, as a part of the set: 0.5 takes another half in each "
             "epoch, 2 takes everything twice.")
      .more_than(0);
  schema.field("class_map", &SetOptions::class_map,
               "Pairs [category id of this file, category id of the model]; others are left out. "
               "The model's ids are those of the first set without a class_map, or 1.. where all "
               "sets have one. Empty: the file has the model's categories.");
  schema.field("pseudo_clip", &SetOptions::pseudo_clip, "coco: how an image becomes a clip.");
  schema.validate([](const SetOptions& options) {
    for (const auto& pair : options.class_map)
      if (pair.size() != 2)
        throw ConfigError("class_map: expected pairs of ids such as [3, 6], got a list of " +
                          std::to_string(pair.size()) + ".");
  });
}

void SplitOptions::describe(Schema<SplitOptions>& schema) {
  schema.field("annotations", &SplitOptions::annotations, "Annotation file in YouTube-VIS layout.");
  schema.field("images", &SplitOptions::images, "Folder that the file's file_names start at.");
  schema.field("sets", &SplitOptions::sets,
               "Several sets to train on together, instead of annotations and images: "
               "[[data.train.sets]] for each.");
  schema.validate([](const SplitOptions& options) {
    if (!options.sets.empty() && !(options.annotations.empty() && options.images.empty()))
      throw ConfigError(
          "sets: expected either sets or annotations and images, got both. Make the file one of "
          "the sets.");
  });
}

void SamplingOptions::describe(Schema<SamplingOptions>& schema) {
  schema.field("kind", &SamplingOptions::name,
               "Name of the sampler (tessera plugins list prints them); its options stand beside "
               "this key.");
  schema.field(
      "redraw_empty", &SamplingOptions::redraw_empty,
      "If no instance is left in a clip of a video after augmentation, another sample of the "
      "set is drawn (SeqFormer). Otherwise the clip is trained without instances.");
}

void NormaliseOptions::describe(Schema<NormaliseOptions>& schema) {
  schema
      .field("by", &NormaliseOptions::by,
             "constants: mean and deviation below; clip: those of each channel over the clip's own "
             "pixels, so that colour casts and contrast do not matter.")
      .one_of({"constants", "clip"});
  schema.field("mean", &NormaliseOptions::mean, "Subtracted from R, G, B (0..1).");
  schema.field("deviation", &NormaliseOptions::deviation, "What R, G, B are divided by after that.")
      .more_than(0);
  schema.validate([](const NormaliseOptions& options) {
    check_three(options.mean, "mean");
    check_three(options.deviation, "deviation");
  });
}

void AugmentStepOptions::describe(Schema<AugmentStepOptions>& schema) {
  schema
      .field(
          "kind", &AugmentStepOptions::name,
          "Name of the augmentation (tessera plugins list prints them); its options stand beside "
          "this key.")
      .required();
  schema
      .field("probability", &AugmentStepOptions::probability,
             "How often the step is done, drawn for each clip.")
      .between(0, 1);
}

void AugmentOptions::describe(Schema<AugmentOptions>& schema) {
  schema.field("steps", &AugmentOptions::steps, "Random steps, in this order.");
  schema
      .field("short_side", &AugmentOptions::short_side,
             "Shorter side that every clip ends with, pixels; without it frames keep their size.")
      .at_least(1);
  schema.field("max_side", &AugmentOptions::max_side, "Limit of the longer side, pixels.")
      .at_least(1);
  schema.validate([](const AugmentOptions& options) {
    if (options.max_side && !options.short_side)
      throw ConfigError("max_side: expected short_side beside it, got none. Add short_side.");
  });
}

void CategoryOptions::describe(Schema<CategoryOptions>& schema) {
  schema.field("id", &CategoryOptions::id, "Id in annotation and results files.").required();
  schema.field("name", &CategoryOptions::name, "Name, for overlays and reports.").required();
}

void DataOptions::describe(Schema<DataOptions>& schema) {
  schema.field("num_frames", &DataOptions::num_frames, "Frames of a training clip (T).")
      .required()
      .at_least(1);
  schema
      .field("num_categories", &DataOptions::num_categories,
             "Categories of the data set; must be as many as the annotation files list.")
      .required()
      .at_least(1);
  schema.field("categories", &DataOptions::categories,
               "Ids and names of the results of weights that do not state them (official ones), if "
               "what is inferred on does not, either.");
  schema.field("train", &DataOptions::train, "The split that training reads.");
  schema.field("validation", &DataOptions::validation, "The split that evaluation reads.");
  schema.field("sampling", &DataOptions::sampling, "Which frames become a training clip.");
  schema
      .field(
          "resize", &DataOptions::resize,
          "How frames are resized, in training and inference. antialiased: bilinear over all "
          "pixels that a resized pixel covers, rounded to whole levels, as Pillow does, which the "
          "authors' codes use; every augmentation step is done as written. fast: JPEG files are "
          "decoded at a reduced size (the means of blocks) and resized once, bilinearly.")
      .one_of({"fast", "antialiased"});
  schema
      .field(
          "resize_rounding", &DataOptions::resize_rounding,
          "Sides of resized frames. nearest: both are rounded to the nearest pixel (detectron2); "
          "down: the fraction of the longer side is cut off (DETR, torchvision).")
      .one_of({"nearest", "down"});
  schema.field("normalise", &DataOptions::normalise, "Scaling of the channels.");
  schema.field("augment", &DataOptions::augment, "What training does to a clip.");
  schema.field("turn_by_exif", &DataOptions::turn_by_exif,
               "Turn images as their EXIF orientation says. Without it they are read as they are "
               "stored. Choose what the masks were drawn on.");
  schema
      .field("white_level", &DataOptions::white_level,
             "Of images of 16 bits: the value that becomes white, such as 4095 for data of 12 "
             "bits; 0: 65535.")
      .at_least(0);
  schema
      .field("min_visible_pixels", &DataOptions::min_visible_pixels,
             "An instance with fewer pixels in a frame, after augmentation, counts as absent.")
      .at_least(1);
  schema
      .field("workers", &DataOptions::workers,
             "Threads that prepare clips; 0 prepares them when they are asked for. The clips are "
             "the same whatever the number.")
      .at_least(0);
  schema.validate([](const DataOptions& options) {
    if (!options.validation.sets.empty())
      throw ConfigError(
          "validation.sets: expected annotations and images, got sets. Scores are of one set.");
  });
}

}  // namespace tessera
