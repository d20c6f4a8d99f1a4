#include "launcher/data/convert/index_masks.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"
#include "launcher/data/clip_dataset.h"
#include "launcher/data/label_image.h"
#include "launcher/weights/atomic_file.h"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLabels = 255;

void draw(cv::Mat& labels, const Rle& mask, int label) {
  const std::vector<uint8_t> pixels = to_mask(mask);
  for (int64_t i = 0; i < mask.height * mask.width; ++i) {
    if (pixels[static_cast<size_t>(i)] == 0) continue;
    uint8_t& place = labels.data[i];
    if (place != 0)
      throw DataError("expected masks that do not overlap, got objects " + std::to_string(place) +
                      " and " + std::to_string(label) + " at one pixel.");
    place = static_cast<uint8_t>(label);
  }
}

}  // namespace

void write_index_masks(const AnnotationFile& annotations, const fs::path& folder) {
  nlohmann::ordered_json meta = {{"videos", nlohmann::ordered_json::object()}};
  for (size_t v = 0; v < annotations.videos.size(); ++v) {
    const Video& video = annotations.videos[v];
    const std::string name = video_name(video);
    std::vector<const Annotation*> objects;
    for (const Annotation& annotation : annotations.annotations)
      if (annotation.video_index == v) objects.push_back(&annotation);
    if (objects.size() > kMostLabels)
      throw DataError("video '" + name + "': expected at most " + std::to_string(kMostLabels) +
                      " objects, got " + std::to_string(objects.size()) + ".");
    fs::create_directories(folder / "Annotations" / name);
    for (size_t t = 0; t < video.file_names.size(); ++t) {
      cv::Mat labels =
          cv::Mat::zeros(static_cast<int>(video.height), static_cast<int>(video.width), CV_8UC1);
      for (size_t i = 0; i < objects.size(); ++i)
        if (objects[i]->segmentations[t])
          draw(labels, *objects[i]->segmentations[t], static_cast<int>(i) + 1);
      const std::string stem = fs::path(video.file_names[t]).stem().string();
      write_label_image(folder / "Annotations" / name / (stem + ".png"), labels);
    }
    auto& entry = meta["videos"][name]["objects"] = nlohmann::ordered_json::object();
    for (size_t i = 0; i < objects.size(); ++i)
      entry[std::to_string(i + 1)] = {
          {"category", annotations.categories[objects[i]->category_index].name}};
  }
  write_file(folder / "meta.json", meta.dump(1) + "\n");
}

}  // namespace tessera::data
