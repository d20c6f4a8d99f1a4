#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "launcher/data/convert/convert.h"
#include "launcher/data/convert/frames.h"
#include "launcher/data/convert/thin_labels.h"
#include "launcher/data/convert/track_builder.h"
#include "launcher/data/image_folder.h"
#include "launcher/data/json_reader.h"
#include "launcher/data/label_image.h"

namespace tessera::data {
namespace {

namespace fs = std::filesystem;

constexpr int32_t kWhite = 255;
/// A label image with more colours was smoothed, or is a photograph.
constexpr size_t kMostObjects = 1024;

/// [video][object] -> category.
using Labels = std::map<std::string, std::map<std::string, std::string>>;

Labels read_labels(const fs::path& file) {
  if (file.empty()) return {};
  const Json root = parse_json_file(
      file, [](int, Json::parse_event_t, Json&) { return true; }, [] { return "labels"; });
  Labels labels;
  at_place(
      [&] { return file.string(); },
      [&] {
        for (const auto& [video, entry] :
             as_object(value_of(as_object(root, "the file"), "videos"), "'videos'").items())
          for (const auto& [object, facts] :
               as_object(value_of(as_object(entry, "a video"), "objects"), "'objects'").items())
            labels[video][object] =
                as_text(value_of(as_object(facts, "an object"), "category"), "'category'");
      });
  return labels;
}

/// The objects of one frame: label -> mask.
std::map<int32_t, cv::Mat> split_labels(const cv::Mat& labels) {
  std::map<int32_t, cv::Mat> masks;
  std::set<int32_t> found;
  int32_t last = 0;
  for (int y = 0; y < labels.rows; ++y) {
    const auto* row = labels.ptr<int32_t>(y);
    for (int x = 0; x < labels.cols; ++x) {
      if (row[x] == last || row[x] == 0) continue;
      last = row[x];
      found.insert(last);
      if (found.size() > kMostObjects)
        throw DataError("expected at most " + std::to_string(kMostObjects) +
                        " labels, got more. A mask that was resized smoothly has colours of no "
                        "object: resize with nearest neighbours.");
    }
  }
  for (const int32_t label : found) masks[label] = labels == label;
  return masks;
}

class DavisConverter {
 public:
  explicit DavisConverter(const ConvertOptions& options)
      : options_(options), labels_(read_labels(options.labels)), tracks_(options.categories) {}

  AnnotationFile run() {
    check_is_folder(options_.input, "masks");
    check_is_folder(options_.images, "images");
    const auto folders = list_folders(options_.input);
    if (folders.empty())
      throw DataError(options_.input.string() +
                      ": expected a folder of masks for each video, got no folder. DAVIS keeps "
                      "them in Annotations/480p, YouTube-VOS in Annotations.");
    for (const auto& folder : folders)
      at_place([&] { return "video '" + folder.filename().string() + "'"; },
               [&] { add_video(folder); });
    return at_place([&] { return options_.input.string(); }, [&] { return tracks_.take(); });
  }

 private:
  void add_video(const fs::path& folder) {
    std::map<std::string, fs::path> masks;
    for (const auto& file : list_images(folder)) masks[file.stem().string()] = file;
    if (masks.empty()) throw DataError(folder.string() + ": expected masks (.png), got none.");
    const FrameFolder frames =
        open_frame_folder(options_.images / folder.filename(), options_.rules);
    std::vector<fs::path> kept;
    std::vector<std::string> names;
    std::vector<std::string> without;
    for (const auto& file : frames.files) {
      const auto mask = masks.find(file.stem().string());
      if (mask == masks.end()) {
        without.push_back(file.filename().string());
        continue;
      }
      kept.push_back(mask->second);
      names.push_back(name_within(options_.images, file));
      masks.erase(mask);
    }
    if (!masks.empty())
      throw DataError(masks.begin()->second.string() + ": expected a frame of that name in " +
                      frames.folder.string() + ", got none. Masks and frames share their names.");
    if (!without.empty() && !options_.annotated_only)
      throw DataError(frames.folder.string() + ": expected a mask for every frame, got none for " +
                      std::to_string(without.size()) + " of " +
                      std::to_string(frames.files.size()) + ", the first of them " +
                      without.front() + ". --annotated-only leaves such frames out.");
    const size_t video = tracks_.add_video(frames.width, frames.height, names);
    labels_seen_.clear();
    thin_labels_ = {};
    for (size_t t = 0; t < kept.size(); ++t)
      at_place([&] { return "frame " + std::to_string(t) + ": " + kept[t].string(); },
               [&] { add_frame(video, folder.filename().string(), t, kept[t]); });
    if (const std::string fault = thin_labels_.fault();
        !fault.empty() && !options_.allow_thin_labels)
      throw DataError(fault +
                      " Resize masks with nearest neighbours and draw them without smooth edges; "
                      "--allow-thin-labels takes every label for an object.");
    check_white();
  }

  void add_frame(size_t video, const std::string& name, size_t t, const fs::path& file) {
    const LabelImage image = read_label_image(file);
    const Video& owner = tracks_.video(video);
    if (image.labels.cols != owner.width || image.labels.rows != owner.height)
      throw DataError("expected " + std::to_string(owner.width) + "x" +
                      std::to_string(owner.height) + " pixels as its frame, got " +
                      std::to_string(image.labels.cols) + "x" + std::to_string(image.labels.rows) +
                      "." +
                      orientation_hint(options_.images / owner.file_names.at(t), options_.rules));
    const auto masks = split_labels(image.labels);
    thin_labels_.add(image, file.filename().string());
    if (!masks.empty()) {
      if (labels_seen_.empty()) coding_ = image.coding;
      if (coding_ != image.coding)
        throw DataError(
            "expected labels coded as in the frames before, got colours beside indices. Save all "
            "masks of a video in one way.");
    }
    for (const auto& [label, mask] : masks) {
      if (options_.void_label && label == *options_.void_label) continue;
      labels_seen_.insert(label);
      const std::string object = std::to_string(label);
      tracks_.add_mask(video, object, category_of(name, object), static_cast<int64_t>(t),
                       from_mask({mask.ptr<uint8_t>(), mask.total()}, mask.rows, mask.cols));
    }
  }

  /// 255 is the one object of a black and white mask, but the border that nobody labelled in
  /// others: nothing in the file tells which.
  void check_white() const {
    if (coding_ != LabelImage::Coding::kIndex || options_.void_label) return;
    if (labels_seen_.contains(kWhite) && labels_seen_.size() > 1)
      throw DataError(
          "expected to know what label 255 means, got it beside others. --void 255 makes it "
          "background, --void none an object.");
  }

  std::string category_of(const std::string& video, const std::string& object) const {
    if (options_.labels.empty()) return options_.category;
    const auto of_video = labels_.find(video);
    if (of_video == labels_.end())
      throw DataError("expected the video in " + options_.labels.string() + ", got no entry '" +
                      video + "'.");
    const auto of_object = of_video->second.find(object);
    if (of_object != of_video->second.end()) return of_object->second;
    std::vector<std::string> known;
    for (const auto& [key, category] : of_video->second) known.push_back(key);
    throw DataError("expected label " + object + " in " + options_.labels.string() + ", got only " +
                    join(known) + ".");
  }

  const ConvertOptions& options_;
  const Labels labels_;
  TrackBuilder tracks_;
  std::set<int32_t> labels_seen_;  // of the video
  ThinLabels thin_labels_;         // of the video
  LabelImage::Coding coding_ = LabelImage::Coding::kIndex;
};

}  // namespace

AnnotationFile convert_davis(const ConvertOptions& options) {
  return DavisConverter(options).run();
}

}  // namespace tessera::data
