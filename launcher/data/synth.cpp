#include "launcher/data/synth.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "launcher/data/convert/index_masks.h"
#include "launcher/data/image_mat.h"
#include "launcher/data/rle.h"
#include "launcher/data/synth_scene.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::data {
namespace {

using OrderedJson = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t kLongestSide = 1 << 14;
constexpr int64_t kMostFrames = 1 << 20;
constexpr uint64_t kSceneStream = 4;

void check_range(const char* option, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return;
  throw ConfigError("data synth " + std::string(option) + ": expected " + std::to_string(low) +
                    ".." + std::to_string(high) + ", got " + std::to_string(value) + ".");
}

void check(const SynthOptions& options) {
  check_range("--videos", options.videos, 1, kMostFrames);
  check_range("--frames", options.frames, 1, kMostFrames);
  check_range("--height", options.height, SynthScene::kSmallestSynthSide, kLongestSide);
  check_range("--width", options.width, SynthScene::kSmallestSynthSide, kLongestSide);
  check_range("--max-instances", options.max_instances, 1, SynthScene::kMostInstances);
  if (options.format != "jpg" && options.format != "png")
    throw ConfigError("data synth --format: expected jpg or png, got '" + options.format + "'.");
  if (options.layout != "ytvis" && options.layout != "davis")
    throw ConfigError("data synth --layout: expected ytvis or davis, got '" + options.layout +
                      "'.");
  for (const char* file : {"annotations.json", "meta.json"})
    if (!options.overwrite && fs::exists(options.output / file))
      throw ConfigError("data synth --output: expected a folder without " + std::string(file) +
                        ", got " + options.output.string() +
                        ". Choose another or add --overwrite.");
}

std::string padded_number(int64_t number, int digits) {
  char text[32];
  std::snprintf(text, sizeof(text), "%0*lld", digits, static_cast<long long>(number));
  return text;
}

OrderedJson categories() {
  OrderedJson list = OrderedJson::array();
  for (const std::string& name : synth_shapes())
    list.push_back({{"id", list.size() + 1}, {"name", name}});
  return list;
}

OrderedJson annotation(const SynthScene& scene, size_t instance, const SynthOptions& options,
                       int64_t id, int64_t video_id) {
  OrderedJson segmentations = OrderedJson::array();
  OrderedJson boxes = OrderedJson::array();
  OrderedJson areas = OrderedJson::array();
  for (int64_t frame = 0; frame < options.frames; ++frame) {
    const cv::Mat mask = scene.mask(frame, instance);
    const Rle rle = from_mask({mask.ptr<uint8_t>(), mask.total()}, mask.rows, mask.cols);
    const auto pixels = static_cast<int64_t>(area(rle));
    if (pixels < kSmallestSynthArea) {
      for (OrderedJson* list : {&segmentations, &boxes, &areas}) list->push_back(nullptr);
      continue;
    }
    const Box box = bounding_box(rle);
    segmentations.push_back({{"size", {rle.height, rle.width}}, {"counts", encode_counts(rle)}});
    boxes.push_back({box.x, box.y, box.width, box.height});
    areas.push_back(pixels);
  }
  return {{"id", id},
          {"video_id", video_id},
          {"category_id", scene.label(instance) + 1},
          {"iscrowd", 0},
          {"width", options.width},
          {"height", options.height},
          {"length", options.frames},
          {"segmentations", segmentations},
          {"bboxes", boxes},
          {"areas", areas}};
}

fs::path frame_folder(const SynthOptions& options) {
  return options.output / (options.layout == "davis" ? "JPEGImages" : "frames");
}

/// Writes the frames of a video. Returns its entry of 'videos'.
OrderedJson write_video(const SynthScene& scene, const SynthOptions& options, int64_t video_id) {
  const std::string name = padded_number(video_id, 4);
  fs::create_directories(frame_folder(options) / name);
  OrderedJson file_names = OrderedJson::array();
  for (int64_t frame = 0; frame < options.frames; ++frame) {
    const std::string file = name + "/" + padded_number(frame, 5) + "." + options.format;
    write_mat(frame_folder(options) / file, scene.render(frame));
    file_names.push_back(file);
  }
  return {{"id", video_id},
          {"width", options.width},
          {"height", options.height},
          {"length", options.frames},
          {"file_names", file_names}};
}

}  // namespace

SynthSummary write_synth(const SynthOptions& options) {
  check(options);
  OrderedJson videos = OrderedJson::array();
  OrderedJson annotations = OrderedJson::array();
  try {
    for (int64_t video_id = 1; video_id <= options.videos; ++video_id) {
      const SynthScene scene({options.frames, options.height, options.width}, options.max_instances,
                             Random({options.seed, kSceneStream, static_cast<uint64_t>(video_id)}));
      videos.push_back(write_video(scene, options, video_id));
      for (size_t i = 0; i < scene.num_instances(); ++i)
        annotations.push_back(
            annotation(scene, i, options, static_cast<int64_t>(annotations.size()) + 1, video_id));
    }
  } catch (const fs::filesystem_error& error) {
    throw RuntimeError(options.output.string() + ": expected to write a data set, got '" +
                       error.what() + "'. Check the path and the disk.");
  }
  const OrderedJson document = {
      {"info", {{"description", "Generated by tessera data synth"}, {"seed", options.seed}}},
      {"categories", categories()},
      {"videos", videos},
      {"annotations", annotations}};
  const fs::path file = options.output / "annotations.json";
  write_file(file, document.dump(1) + "\n");
  if (options.layout == "davis") {
    write_index_masks(read_annotations(file), options.output);
    fs::remove(file);
  }
  return {options.videos, options.videos * options.frames,
          static_cast<int64_t>(annotations.size())};
}

}  // namespace tessera::data
